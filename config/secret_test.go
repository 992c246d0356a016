package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fetch loads a configuration whose identity ingest has the given source, written as TOML.
func fetch(t *testing.T, source string) ([]string, Findings) {
	t.Helper()
	dir, env := world(t)
	text := strings.Replace(epmt, `{ env = "INGEST_PASSWORD" }`, source, 1)
	cfg, findings := LoadBytes(filepath.Join(dir, "pgtier.toml"), []byte(text), env)
	if cfg == nil {
		return nil, findings
	}
	return cfg.Identities["ingest"].Passwords, findings
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string // a password, or the end of a finding
	}{
		{"plain", "pa55word", 0o600, "pa55word"},
		{"newline", "pa55word\n", 0o640, "pa55word"},
		{"windows", "pa55word\r\n\n", 0o400, "pa55word"},
		{"blanks", " pa55word ", 0o600, " pa55word "},
		{"empty", "\n", 0o600, "is empty"},
		{"zero", "pa55\x00word", 0o600, "contains a zero byte"},
		{"readable", "pa55word", 0o644, "is readable by everyone (0644); chmod 0640"},
		{"writable", "pa55word", 0o602, "is writable by everyone (0602); chmod 0640"},
		{"long", strings.Repeat("x", maxSecret+1), 0o600, "is larger than 64 KiB"},
	} {
		path := filepath.Join(dir, c.name)
		write(t, path, c.text, c.mode)
		got, findings := fetch(t, fmt.Sprintf("{ file = %q }", path))
		switch {
		case len(findings) > 1:
			t.Errorf("%s: %v", c.name, findings)
		case len(findings) == 1 && (!strings.HasSuffix(findings[0].Text, c.want) || strings.Contains(findings[0].Text, "pa55")):
			t.Errorf("%s: %v, want %s", c.name, findings, c.want)
		case len(findings) == 0 && strings.Join(got, "|") != c.want:
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A named pipe must be refused and not waited for.
func TestSecretFileIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, findings := fetch(t, fmt.Sprintf("{ file = %q }", path)); len(findings) != 1 {
		t.Errorf("findings = %v", findings)
	}
}

func TestSecretCommands(t *testing.T) {
	for _, c := range []struct{ argv, want string }{
		{`["printf", "%s\n", "a b"]`, "a b"},
		{`["echo", "$HOME"]`, "$HOME"}, // no shell
		{`["sh", "-c", "echo canary; echo canary >&2; exit 3"]`, "secret command sh failed (exit status 3); its output is not shown"},
		{`["sh", "-c", "head -c 70000 /dev/zero"]`, "secret command sh wrote more than 64 KiB"},
		{`["sh", "-c", "kill -9 $$"]`, "secret command sh failed (signal: killed); its output is not shown"},
	} {
		got, findings := fetch(t, `{ command = `+c.argv+` }`)
		text := strings.Join(got, "|")
		if len(findings) > 0 {
			text = findings[0].Text
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", c.argv, text, c.want)
		}
	}
}

// A command that hangs, and what it has started and left holding the pipe, is ended at its timeout.
func TestSecretCommandHangs(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	script := fmt.Sprintf("sleep 600 & echo $! > %s; wait", pidFile)
	_, findings := fetch(t, fmt.Sprintf(`{ command = ["sh", "-c", %q], timeout = "300ms" }`, script))
	if len(findings) != 1 || findings[0].Text != "secret command sh did not finish within 300ms" {
		t.Fatalf("findings = %v", findings)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		t.Fatal(err)
	}
	// It may stay a zombie for as long as nobody collects it.
	for deadline := time.Now().Add(10 * time.Second); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d of the command is still there: %s", pid, stat)
		}
	}
}

func TestInlineSecrets(t *testing.T) {
	dir, env := world(t)
	text := "inline_secrets = true\n" + strings.Replace(epmt, `{ env = "INGEST_PASSWORD" }`, `["one", "two"]`, 1)
	path := filepath.Join(dir, "pgtier.toml")
	write(t, path, text, 0o600)
	cfg, findings := Load(path, env)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	if got := cfg.Identities["ingest"].Passwords; strings.Join(got, " ") != "one two" {
		t.Errorf("passwords = %q", got)
	}
	write(t, path, text, 0o644)
	_, findings = Load(path, env)
	if len(findings) != 1 || !strings.HasSuffix(findings[0].Text, "has secrets inside and is readable by everyone (0644); chmod 0640") {
		t.Errorf("findings = %v", findings)
	}
}

// Whatever prints a configuration or a part of it prints no secret.
func TestNothingPrintsSecrets(t *testing.T) {
	cfg, findings := load1(t, epmt)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	tier, identity := cfg.Databases["EPMT"].Tiers["ro"], cfg.Identities["ingest"]
	type holder struct {
		Tier     *Tier
		Identity Identity
	}
	for _, v := range []any{cfg, *cfg, cfg.Databases, cfg.Identities, tier, *tier, identity, *identity,
		holder{tier, *identity}, []*Tier{tier}, map[string]Tier{"x": *tier}} {
		out := ""
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			out += fmt.Sprintf(verb, v)
		}
		j, err := json.Marshal(v)
		if err != nil && !strings.Contains(err.Error(), "cycle") {
			t.Error(err)
		}
		out += string(j)
		for _, secret := range append([]string{"-secret", fmt.Sprintf("%x", "ro-secret"), "SCRAM-SHA"}, identity.Passwords...) {
			if strings.Contains(out, secret) {
				t.Errorf("%T prints a secret: %s", v, out)
			}
		}
	}
}
