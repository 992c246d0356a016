package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "github.com/pgtier/pgtier/"

// mayImport is the house's plan: which of its own packages each package may use, directly. Tests are not bound by it, nor is
// integration, which is all tests. "leaf" packages use none of the others but leaves.
var mayImport = map[string][]string{
	"cmd/pgtier":     {"proxy", "config", "auth", "auth/scram", "auth/roles", "pool/server", "proxy/pgerr", "integration/pgtest"},
	"proxy":          {"config", "auth", "auth/scram", "pool", "pool/server", "proxy/startup", "proxy/console", "proxy/relay", "proxy/session", "proxy/notify", "proxy/pgerr", "proxy/wire", "proxy/handover", "proxy/sqlscan"},
	"proxy/startup":  {"config", "auth", "auth/scram", "proxy/handover", "proxy/pgerr", "proxy/wire"},
	"proxy/console":  {"proxy/session", "proxy/pgerr", "proxy/wire", "proxy/sqlscan"},
	"proxy/relay":    {"pool", "proxy/session", "proxy/notify", "proxy/handover", "proxy/pgerr", "proxy/wire"},
	"proxy/notify":   {"proxy/handover", "proxy/pgerr", "proxy/wire", "proxy/sqlscan", "pool"},
	"proxy/session":  {"config", "auth", "pool", "proxy/wire", "proxy/pgerr", "proxy/sqlscan"},
	"pool":           {"proxy/pgerr"},
	"pool/server":    {"proxy/handover", "proxy/pgerr", "proxy/wire", "auth/scram"},
	"auth":           {"config", "auth/scram", "proxy/pgerr"},
	"auth/roles":     {"config", "auth", "proxy/pgerr", "proxy/sqlscan"},
	"config":         {"auth/scram", "proxy/sqlscan"},
	"auth/scram":     {},
	"proxy/handover": {},
	"proxy/pgerr":    {},
	"proxy/sqlscan":  {},
	"proxy/wire":     {},
}

// doors are third-party packages that only some of the house may use.
var doors = map[string][]string{
	"github.com/BurntSushi/toml":   {"config"},
	"github.com/jackc/pgx/v5":      {"pool/server", "auth/roles", "cmd/pgtier"},
	"github.com/jackc/pgproto3/v2": {},
	"github.com/spf13/cobra":       {"cmd/pgtier"},
	"github.com/xdg-go/scram":      {},
	"golang.org/x/sys/unix":        {"proxy/relay", "proxy/handover", "proxy/startup", "auth", "cmd/pgtier", "pool/server"},
	"go.uber.org/goleak":           {},
	"pgregory.net/rapid":           {},
	"github.com/xdg-go/stringprep": {"auth/scram"},
}

func TestImportDirections(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		pkg := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(pkg, "integration") {
			continue
		}
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s has no place in the plan of the house (mayImport)", pkg)
		}
		for _, imported := range fields[1:] {
			checkImport(t, pkg, imported, allowed)
		}
	}
}

func checkImport(t *testing.T, pkg, imported string, allowed []string) {
	t.Helper()
	if own, is := strings.CutPrefix(imported, module); is {
		if !contains(allowed, own) {
			t.Errorf("%s imports %s; it may use %v", pkg, own, allowed)
		}
		return
	}
	for door, users := range doors {
		if (imported == door || strings.HasPrefix(imported, door+"/")) && !contains(users, pkg) {
			t.Errorf("%s imports %s, whose door is %v", pkg, path.Base(door), users)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
