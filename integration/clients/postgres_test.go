package clients

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// What PostgreSQL's own programs and pgx do is tested at length in integration/e2e. Here each does the least that makes a
// row of the table true.

func TestPsql(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	psql := func(dsn, sql string) (string, error) {
		out, err := exec.Command(tool(t, p, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", dsn, "-c", sql).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for _, c := range []struct{ what, dsn, sql, want string }{
		{"reads as ro", p.DSN("alice"), "SELECT current_user", "epmt-ro"},
		{"permission denied", p.DSN("alice"), "DELETE FROM jobs", "ERROR:  permission denied for table jobs"},
		{"tier by ~", p.DSN("ingest~rw"), "SHOW pgtier.tier", "rw"},
		{"tier by options", p.DSN("ops", "options=-c pgtier.tier=admin"), "SELECT current_user", "epmt-admin"},
	} {
		if got, err := psql(c.dsn, c.sql); got != c.want {
			t.Fatalf("%s: %q, %v", c.what, got, err)
		}
	}
	note("client psql " + version(t, p, "psql") + "\nok reads as ro\nok permission denied\nok tier by ~\nok tier by options\n")
}

func TestPgbench(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 2"}}).Endpoint
	pgbench := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(tool(t, p, "pgbench"), args...).CombinedOutput(); err != nil {
			t.Fatalf("pgbench %q: %v\n%s", args[:len(args)-1], err, out)
		}
	}
	pgbench("-i", "-q", p.DSN("migrate"))
	defer pgbench("-i", "-I", "d", p.DSN("migrate"))
	lines := "client pgbench " + version(t, p, "pgbench") + "\nok -i as admin\n"
	for _, protocol := range []string{"simple", "extended", "prepared"} {
		pgbench("-n", "-N", "-M", protocol, "-c", "8", "-j", "8", "-t", "20", p.DSN("ingest"))
		lines += "ok -N -M " + protocol + ", eight clients on two servers\n"
	}
	note(lines)
}

func TestPgx(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	lines := "client pgx " + moduleVersion(t, "github.com/jackc/pgx/v5") + "\n"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
		pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		cfg, err := pgx.ParseConfig(p.DSN("alice"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		err = conn.QueryRow(t.Context(), "SELECT $1::int + count(*) FROM jobs", 30).Scan(&n)
		if closeErr := conn.Close(t.Context()); err != nil || closeErr != nil || n != 42 {
			t.Fatalf("%v: %d, %v, %v", mode, n, err, closeErr)
		}
		lines += fmt.Sprintf("ok %v\n", mode)
	}
	note(lines)
}

func tool(t *testing.T, p *harness.Endpoint, name string) string {
	t.Helper()
	path, err := p.Cluster.Binaries.Tool(name)
	if err != nil {
		missing(t, name, err.Error())
	}
	return path
}

// version is the last word of what --version says before a remark of the distribution's: "psql (PostgreSQL) 15.18 (Debian ...)".
func version(t *testing.T, p *harness.Endpoint, name string) string {
	t.Helper()
	out, err := exec.Command(tool(t, p, name), "--version").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 3 {
		t.Fatalf("%s --version: %q, %v", name, out, err)
	}
	return fields[2]
}

// moduleVersion asks the Go tool: a test binary does not know what it was built of.
func moduleVersion(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
