package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// doctorConfig writes a configuration for EPMT on a cluster with TLS, as one would for real.
func doctorConfig(t *testing.T, c *pgtest.Cluster, e *pgtest.EPMT) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "config_version = 1\ninline_secrets = true\n[listen]\naddress = \"127.0.0.1:1\"\n[servers.main]\nhost = \"127.0.0.1\"\nport = %d\n"+
		"sslmode = \"verify-full\"\nsslrootcert = %q\n[databases.EPMT]\nserver = \"main\"\n[identities.alice]\npassword = \"x\"\n"+
		"[[grants]]\nto = \"alice\"\ndatabase = \"EPMT\"\ntiers = [\"ro\"]\n", c.Port, c.CAFile)
	for tier, a := range map[string]pgtest.Account{"ro": e.RO, "rw": e.RW, "admin": e.Admin} {
		fmt.Fprintf(&b, "[databases.EPMT.tiers.%s]\nlogin = %q\npassword = %q\n", tier, a.Name, a.Password)
	}
	return configFile(t, b.String())
}

func TestDoctorCommand(t *testing.T) {
	c, e := testpg.StartEPMT(t, pgtest.Options{TLS: true})
	file := doctorConfig(t, c, e)

	code, stdout, stderr := cli("doctor", "-c", file)
	if code != 0 || !strings.HasSuffix(stdout, "\n0 errors, 0 warnings, 5 notes\n") || stderr != "" {
		t.Errorf("green: exit %d\n%s%s", code, stdout, stderr)
	}
	if err := c.Exec(t.Context(), e.Database, `GRANT "epmt-admin" TO "epmt-rw"; ALTER ROLE "epmt-ro" NOLOGIN`); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = cli("doctor", "-c", file, "--json", "EPMT")
	var findings roles.Findings
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	if code != 1 || len(findings) != 2 || findings[0].Code != "login-failed" || findings[1].Code != "tier-wall" || stderr != "" {
		t.Errorf("broken: exit %d\n%s%s", code, stdout, stderr)
	}
	for _, f := range findings {
		for _, sql := range f.Fix {
			if err := c.Exec(t.Context(), e.Database, sql); err != nil {
				t.Error(err)
			}
		}
	}
	if code, stdout, _ := cli("doctor", "-c", file); code != 0 {
		t.Errorf("mended: exit %d\n%s", code, stdout)
	}
	if code, _, stderr := cli("doctor", "-c", file, "epmt"); code != 1 || !strings.Contains(stderr, `"epmt" is not in the configuration; did you mean "EPMT"?`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, _ := cli("doctor", "-c", "/nowhere.toml"); code != 78 {
		t.Errorf("exit %d", code)
	}
	hardenCommand(t, c, e, file)
}

func hardenCommand(t *testing.T, c *pgtest.Cluster, e *pgtest.EPMT, file string) {
	code, script, stderr := cli("harden", "-c", file, "EPMT")
	if code != 0 || !strings.Contains(script, fmt.Sprintf("on PostgreSQL %d, as a superuser", c.Binaries.Major)) || !strings.Contains(script, "COMMIT;") {
		t.Errorf("printing: exit %d\n%s%s", code, script, stderr)
	}
	url := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(url, []byte(c.SuperuserURL("postgres")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ADMIN", c.SuperuserURL("postgres"))
	for _, step := range []struct {
		args   []string
		stdout string
	}{
		{[]string{"--apply", "--admin-url-env", "ADMIN"}, "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text,text,boolean) FROM PUBLIC;"},
		{[]string{"--apply", "--admin-url-file", url}, "-- nothing to do"},
		{[]string{"--apply", "--undo", "--admin-url-file", url}, "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text,text,boolean) TO PUBLIC;"},
		{[]string{"--apply", "--undo", "--admin-url-env", "ADMIN"}, "-- nothing to do"},
	} {
		code, stdout, stderr := cli(append([]string{"harden", "-c", file, "EPMT"}, step.args...)...)
		if code != 0 || !strings.Contains(stdout, step.stdout) {
			t.Errorf("%q: exit %d\n%s%s", step.args, code, stdout, stderr)
		}
	}
}

// What is wrong with harden's arguments is said without a server, and an admin URL is never repeated.
func TestHardenArguments(t *testing.T) {
	file := configFile(t, cliConfig)
	t.Setenv("PGTIER_ADMIN_URL", "")
	t.Setenv("BROKEN", "mysql://canary:canary@canary/")
	for _, c := range []struct {
		args   []string
		code   int
		output string
	}{
		{[]string{"EPMT", "--server-version", "14"}, 0, `REVOKE CREATE ON SCHEMA "public" FROM PUBLIC;`},
		{[]string{"EPMT", "--server-version", "18", "--keep", "app"}, 0, `GRANT EXECUTE ON FUNCTION pg_catalog.pg_notify(text,text) TO "app";`},
		{[]string{"EPMT", "--server-version", "18", "--undo"}, 0, `GRANT USAGE ON LANGUAGE "sql", "plpgsql" TO PUBLIC;`},
		{[]string{"EPMT", "--server-version", "9"}, 1, "--server-version 9: pgtier knows 14 and later"},
		{[]string{"epmt", "--server-version", "15"}, 1, `database "epmt" is not in the configuration`},
		{[]string{"EPMT", "--apply"}, 1, "environment variable PGTIER_ADMIN_URL is empty or not set"},
		{[]string{"EPMT", "--apply", "--admin-url-env", "BROKEN"}, 1, "environment variable BROKEN: not a PostgreSQL URL; value not shown"},
		{[]string{"EPMT", "--apply", "--admin-url-file", "/nowhere"}, 1, "/nowhere"},
		{[]string{"EPMT", "--apply", "--server-version", "15"}, 1, "none of the others can be"},
		{[]string{"EPMT", "postgresql://x:canary@y/z", "--apply"}, 1, "does not belong on the command line"},
		{[]string{}, 1, "accepts 1 arg(s), received 0"},
	} {
		code, stdout, stderr := cli(append([]string{"harden", "-c", file}, c.args...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.output) {
			t.Errorf("%q: exit %d\n%s%s", c.args, code, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "canary") {
			t.Errorf("%q shows a secret: %s%s", c.args, stdout, stderr)
		}
	}
}
