// Package clients runs small programs that are written with other people's PostgreSQL clients, each with the habits of its
// own: how it prepares statements, pipelines, copies, cancels. A program gets its DSNs in the environment, prints "client
// NAME VERSION" and then "ok WHAT" for each behaviour that it has seen, and exits with 0, or prints "FAIL" and why.
//
// integration/scripts/install-clients.sh installs the clients. A test whose client is missing is skipped, or fails when CI
// is set. PGTIER_WRITE_COMPATIBILITY=1 writes what was seen into docs/compatibility.md.
package clients

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

const (
	python  = "/usr/bin/python3" // Debian's, which has Debian's packages
	install = "integration/scripts/install-clients.sh"
	// patience is how long a program may take: each takes a few seconds.
	patience = 2 * time.Minute
)

func TestMain(m *testing.M) {
	code := testpg.Main(m)
	if code == 0 && os.Getenv("PGTIER_WRITE_COMPATIBILITY") != "" {
		code = writeCompatibility()
	}
	os.Exit(code)
}

func TestPython(t *testing.T) {
	for _, c := range []struct{ program, needs string }{
		{"psycopg3.py", "psycopg"}, {"console_client.py", "psycopg"}, {"psycopg2_client.py", "psycopg2"}, {"alembic_client.py", "alembic.command, sqlalchemy, psycopg2"},
	} {
		t.Run(strings.TrimSuffix(c.program, ".py"), func(t *testing.T) {
			if out, err := exec.Command(python, "-c", "import "+c.needs).CombinedOutput(); err != nil {
				missing(t, c.needs, string(out)+err.Error())
			}
			drive(t, nil, python, "-B", filepath.Join("python", c.program))
		})
	}
}

func TestNode(t *testing.T) {
	cache := os.Getenv("PGTIER_CACHE")
	if cache == "" {
		cache = "../../.cache"
	}
	modules, err := filepath.Abs(filepath.Join(cache, "clients", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ program, needs string }{{"node_postgres.js", "pg-copy-streams"}, {"console.js", "pg"}, {"postgres_js.js", "postgres"}} {
		t.Run(strings.TrimSuffix(c.program, ".js"), func(t *testing.T) {
			node, err := exec.LookPath("node")
			if err == nil {
				_, err = os.Stat(filepath.Join(modules, c.needs))
			}
			if err != nil {
				missing(t, c.needs, err.Error())
			}
			drive(t, []string{"NODE_PATH=" + modules}, node, filepath.Join("node", c.program))
		})
	}
}

// missing ends a test whose client is not installed.
func missing(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing (%s); run %s", what, strings.TrimSpace(why), install)
	}
	t.Skipf("%s is missing; %s installs it", what, install)
}

// drive runs a program against a pgtier with few server connections.
func drive(t *testing.T, env []string, argv ...string) {
	t.Helper()
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 2", "rw": "size = 2"},
		More: "[console]\nadmins = [\"ops\"]"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "TZ=UTC",
		"PGTIER_RO=" + p.DSN("alice"), "PGTIER_RW=" + p.DSN("ingest"), "PGTIER_ADMIN=" + p.DSN("migrate"),
		"PGTIER_CONSOLE=" + p.DSNFor(url.UserPassword("ops", "ops-demo"), "pgtier"),
	}, env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !note(string(out)) {
		t.Fatalf("%s: %v", argv[len(argv)-1], err)
	}
}
