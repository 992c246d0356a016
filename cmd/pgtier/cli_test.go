package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const cliConfig = `config_version = 1
inline_secrets = true
[listen]
address = "127.0.0.1:6432"
[servers.main]
host = "db"
[databases.EPMT]
server = "main"
tiers = { ro = { login = "epmt-ro", password = "canary" } }
[identities]
alice = { password = "canary" }
[[grants]]
to = "alice"
database = "EPMT"
tiers = ["ro"]
`

// cli runs a command line and returns its exit code and what it wrote.
func cli(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgtier.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandLines(t *testing.T) {
	good := configFile(t, cliConfig)
	bad := configFile(t, strings.ReplaceAll(cliConfig, "tiers = [", "tier = ["))
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string // parts
	}{
		{[]string{"check", "--config", good}, 0, good + ": ok: 1 database with 1 tier, 1 identity in 0 groups, 1 grant, 0 denies\n", ""},
		{[]string{"check", "-c", bad}, 78, "", bad + `:15:1: unknown key "tier" in [[grants]]; did you mean "tiers"?`},
		{[]string{"check", "--config", "/nowhere.toml"}, 78, "", "/nowhere.toml: cannot read the file: no such file or directory"},
		{[]string{"check", "more"}, 1, "", "pgtier: unknown command"},
		{[]string{"explain", "-c", good, "alice", "EPMT"}, 0, "decision    tier ro, the only one granted", ""},
		{[]string{"explain", "-c", good, "alice~rw", "EPMT"}, 1, `HINT: Allowed: ro. Ask for one with user "alice~ro".`, ""},
		{[]string{"explain", "-c", good, "--from", "x", "alice", "EPMT"}, 1, "", `pgtier: --from "x" is not an IP address`},
		{[]string{"explain", "-c", bad, "alice", "EPMT"}, 78, "", bad + ":15:1: "},
		{[]string{"explain", "alice"}, 1, "", "pgtier: accepts 2 arg(s), received 1"},
		{[]string{"version"}, 0, "pgtier ", ""},
		{[]string{"no-such-command"}, 1, "", `pgtier: unknown command "no-such-command"`},
		{[]string{"check", "--no-such-flag"}, 1, "", "pgtier: unknown flag: --no-such-flag"},
		{[]string{"--help"}, 0, "Exit codes: 0 success; 1 failure or wrong arguments; 78 the configuration cannot be used.", ""},
	} {
		code, stdout, stderr := cli(c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("pgtier %s: exit %d\n%s%s", strings.Join(c.args, " "), code, stdout, stderr)
		}
		if c.stdout == "" && stdout != "" || c.stderr == "" && stderr != "" {
			t.Errorf("pgtier %s: wrote to the wrong place: %q, %q", strings.Join(c.args, " "), stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "canary") {
			t.Errorf("pgtier %s shows a secret: %s%s", strings.Join(c.args, " "), stdout, stderr)
		}
	}
}

// Without --config, $PGTIER_CONFIG says which file; it is not passed over when it is missing.
func TestConfigFromTheEnvironment(t *testing.T) {
	t.Setenv("PGTIER_CONFIG", configFile(t, cliConfig))
	if code, _, stderr := cli("check"); code != 0 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	t.Setenv("PGTIER_CONFIG", "/nowhere.toml")
	if code, _, _ := cli("check"); code != 78 {
		t.Errorf("exit %d", code)
	}
}

// Every command has a sentence for the list, a text and an example.
func TestHelp(t *testing.T) {
	for _, newCommand := range commands {
		cmd := newCommand()
		if cmd.Short == "" || cmd.Example == "" || cmd.RunE == nil && cmd.Run == nil {
			t.Errorf("%s: short %q, example %q", cmd.Name(), cmd.Short, cmd.Example)
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the list has no full stops: %q", cmd.Name(), cmd.Short)
		}
	}
}

// The only os.Exit is in main: anywhere else it would skip deferred work.
func TestOneExit(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case d.IsDir() && (d.Name() == "node_modules" || path == filepath.Join(root, "integration")):
			return filepath.SkipDir // test programs
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && sel.Sel.Name == "Exit" && filepath.Base(path) != "main.go" {
				t.Errorf("%s calls os.Exit", path)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
