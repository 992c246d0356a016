package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClosest(t *testing.T) {
	words := []string{"tiers", "timeouts", "to", "when", "EPMT"}
	for _, c := range []struct{ got, want string }{
		{"tier", "tiers"}, {"teirs", "tiers"}, {"WHEN", "when"}, {"epmt", "EPMT"}, {"tiemouts", "timeouts"}, {"too", "to"},
		{"x", ""}, {"database", ""}, {"", ""}, {"tiers", ""}, {strings.Repeat("tiers", 1000), ""},
	} {
		if got := Closest(c.got, words); got != c.want {
			t.Errorf("Closest(%.20q) = %q, want %q", c.got, got, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	a := Timeouts{Query: 5 * time.Second, ClientIdle: time.Second}
	b := Timeouts{Query: 3 * time.Second, Shutdown: time.Minute}
	if got, want := a.Strictest(b), (Timeouts{Query: 3 * time.Second, ClientIdle: time.Second, Shutdown: time.Minute}); got != want {
		t.Errorf("strictest = %+v, want %+v", got, want)
	}
	if got, want := a.Loosest(b), (Timeouts{Query: 5 * time.Second}); got != want {
		t.Errorf("loosest = %+v, want %+v", got, want)
	}
	if a.Query != 5*time.Second || b.Query != 3*time.Second {
		t.Error("merging changed its operands")
	}
	x, y := GrantLimits{time.Hour, 0}, GrantLimits{time.Minute, 3}
	if got, want := x.Strictest(y), (GrantLimits{time.Minute, 3}); got != want {
		t.Errorf("strictest = %+v, want %+v", got, want)
	}
	if got, want := x.Loosest(y), (GrantLimits{time.Hour, 0}); got != want {
		t.Errorf("loosest = %+v, want %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	cfg, findings := load1(t, epmt)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	if cfg.Timeouts != DefaultTimeouts() || cfg.Limits != DefaultLimits() {
		t.Errorf("timeouts %+v, limits %+v", cfg.Timeouts, cfg.Limits)
	}
	if cfg.Log != (Log{"info", "json"}) || cfg.Relay != (Relay{0, "auto"}) || !cfg.Listen.RequireTLS {
		t.Errorf("log %+v, relay %+v, listen %+v", cfg.Log, cfg.Relay, cfg.Listen)
	}
	tiers := cfg.Databases["EPMT"].Tiers
	if tiers["ro"].Pool.Mode != "transaction" || tiers["admin"].Pool.Mode != "session" || tiers["ro"].Pool.ReserveAfter != 5*time.Second {
		t.Errorf("pools %+v, %+v", tiers["ro"].Pool, tiers["admin"].Pool)
	}
	if tiers["ro"].Timeouts != DefaultTimeouts() {
		t.Errorf("tier's timeouts %+v", tiers["ro"].Timeouts)
	}
}

func TestTierTimeoutsAreTheStrictest(t *testing.T) {
	cfg, findings := load1(t, strings.Replace(epmt, "pool     = { size = 20 }",
		`timeouts = { query_wait = "10m", query = "30s", server_idle = "1m" }`, 1))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	want := DefaultTimeouts()
	want.Query, want.ServerIdle = 30*time.Second, time.Minute
	if got := cfg.Databases["EPMT"].Tiers["ro"].Timeouts; got != want {
		t.Errorf("timeouts = %+v, want %+v", got, want)
	}
}

// The override replaces all of the credential and nothing of it is merged.
func TestOverrideIsWhole(t *testing.T) {
	dir, env := world(t)
	cfg, findings := LoadBytes(filepath.Join(dir, "pgtier.toml"), []byte(epmt), func(name string) (string, bool) {
		if name == "EPMT_DB_URL" {
			return "postgres://boss@db2:6000/EPMT", true
		}
		return env(name)
	})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	a := cfg.Databases["EPMT"].Tiers["admin"]
	if !a.Overridden || a.Login != "boss" || len(a.Passwords) != 0 || a.Hosts[0] != "db2:6000" || a.SSLMode != "prefer" ||
		a.SSLRootCert != "" || a.Source != "override_env EPMT_DB_URL" {
		t.Errorf("login %q, %d passwords, hosts %v, sslmode %q, sslrootcert %q, source %q",
			a.Login, len(a.Passwords), a.Hosts, a.SSLMode, a.SSLRootCert, a.Source)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	none := func(string) (string, bool) { return "", false }
	set := func(string) (string, bool) { return "/from/env.toml", true }
	if _, err := os.Stat("/etc/pgtier/pgtier.toml"); err != nil {
		if path, err := Find("", none); err == nil {
			t.Errorf("found %s", path)
		}
	}
	write(t, "pgtier.toml", "", 0o600)
	for _, c := range []struct {
		flag string
		env  Env
		want string
	}{{"flag.toml", set, "flag.toml"}, {"", set, "/from/env.toml"}, {"", none, "pgtier.toml"}} {
		if got, err := Find(c.flag, c.env); err != nil || got != c.want {
			t.Errorf("Find = %q, %v, want %q", got, err, c.want)
		}
	}
}

func TestLoadFiles(t *testing.T) {
	dir, env := world(t)
	for path, want := range map[string]string{
		filepath.Join(dir, "gone.toml"): "cannot read the file: no such file or directory",
		dir:                             "is not a regular file",
	} {
		if _, findings := Load(path, env); len(findings) != 1 || findings[0].Text != want {
			t.Errorf("%s: %v, want %s", path, findings, want)
		}
	}
	path := filepath.Join(dir, "pgtier.toml")
	write(t, path, "\ufeff"+epmt, 0o644)
	if _, findings := Load(path, env); len(findings) > 0 {
		t.Error(findings)
	}
}

func TestEndpoints(t *testing.T) {
	tier := &Tier{Hosts: []string{"h", "h:1", "::1", "[::1]:1", "/run/postgresql/"}, Port: 5432}
	want := "h:5432 h:1 [::1]:5432 [::1]:1 /run/postgresql:5432"
	if got := strings.Join(tier.Endpoints(), " "); got != want {
		t.Errorf("endpoints = %s, want %s", got, want)
	}
}
