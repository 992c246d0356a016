// Package matrix runs programs written for many PostgreSQL drivers, each once against PostgreSQL itself and once through a
// pgtier in transaction mode that has fewer server connections than the program has clients. What they print must be the
// same: "ok NAME" for a behaviour that the program judges itself, "saw NAME => TEXT" for one that is only compared. Each
// program lives in a folder of its own and shows the habits of its driver: prepared statements that it names itself,
// pipelines, cursors, COPY, pools that reset connections, migrations under locks.
//
// The programs are told where to go by their environment: DSN is a postgresql:// URL, PGHOST and its like say the same, and
// WORKERS is how many connections to work on at once.
//
// integration/scripts/install-drivers.sh installs the drivers. A driver that is not installed skips its test, or fails it
// where PGTIER_REQUIRE_DRIVERS=1. PGTIER_WRITE_COMPATIBILITY=1 writes the table of docs/compatibility.md.
package matrix

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

const (
	workers = 8 // connections that a program uses at once
	size    = 3 // server connections that they share
)

// patience is how long one program may take on a busy machine.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	code := testpg.Main(m)
	if os.Getenv("PGTIER_WRITE_COMPATIBILITY") == "1" && code == 0 {
		code = writeTable()
	}
	os.Exit(code)
}

// TestDrivers is the matrix.
func TestDrivers(t *testing.T) {
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drivers {
		t.Run(strings.NewReplacer(" ", "-", "/", "-").Replace(d.name), func(t *testing.T) {
			if !d.installed(cache) {
				notInstalled(t, d)
			}
			cluster, epmt := testpg.Shared(t)
			server = serverVersion(t, cluster)
			direct := url.URL{
				Scheme: "postgresql", User: url.UserPassword(epmt.Admin.Name, epmt.Admin.Password),
				Host: "127.0.0.1:" + strconv.Itoa(int(cluster.Port)), Path: "/" + epmt.Database, RawQuery: "sslmode=disable",
			}
			want := run(t, d, cache, direct.String())
			p := harness.Start(t, harness.Options{
				// The owner's tier, whose mode is not the default here: the programs make tables.
				Pools: map[string]string{"admin": `mode = "transaction", size = ` + strconv.Itoa(size)},
				More:  "[timeouts]\nquery_wait = \"30s\"", Iterations: scram.DefaultIterations,
			})
			got := run(t, d, cache, p.DSN("migrate"))
			compare(t, want, got)
			t.Log("\n" + strings.Join(got, "\n"))
			if !t.Failed() {
				record(d, want)
			}
		})
	}
}

// notInstalled ends the test.
func notInstalled(t *testing.T, d driver) {
	t.Helper()
	const advice = "%s is not installed; run integration/scripts/install-drivers.sh"
	switch {
	case d.optional:
	case os.Getenv("PGTIER_REQUIRE_DRIVERS") == "1":
		t.Fatalf(advice, d.name)
	default:
		skipped = append(skipped, d.name)
	}
	t.Skipf(advice, d.name)
}

func serverVersion(t *testing.T, c *pgtest.Cluster) string {
	t.Helper()
	v, err := c.QueryText(t.Context(), pgtest.Superuser, "SHOW server_version")
	if err != nil {
		t.Fatal(err)
	}
	v, _, _ = strings.Cut(v, " ")
	return v
}

// run runs a program, which must succeed, and returns the lines that it printed.
func run(t *testing.T, d driver, cache, dsn string) []string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	words := argv(d.run, cache)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(),
		"LC_ALL=C.UTF-8", "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1", "NODE_PATH="+cache+"/node/node_modules",
		"DSN="+dsn, "WORKERS="+strconv.Itoa(workers),
		"PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+u.User.Username(), "PGPASSWORD="+password,
		"PGDATABASE="+strings.TrimPrefix(u.Path, "/"), "PGSSLMODE=disable")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	err = cmd.Run()
	t.Logf("%s at port %s took %v", d.name, u.Port(), time.Since(begun).Round(time.Millisecond))
	if err != nil {
		t.Errorf("%s at %s: %v\n%s\n%s", d.name, u.Host, err, stdout.String(), stderr.String())
	}
	return strings.Split(strings.TrimSpace(stdout.String()), "\n")
}

// compare reports lines that are in one list only.
func compare(t *testing.T, direct, through []string) {
	t.Helper()
	if slices.Equal(direct, through) {
		return
	}
	for _, line := range direct {
		if !slices.Contains(through, line) {
			t.Errorf("only without pgtier: %s", line)
		}
	}
	for _, line := range through {
		if !slices.Contains(direct, line) {
			t.Errorf("only with pgtier:    %s", line)
		}
	}
	if !t.Failed() {
		t.Errorf("the order differs\nwithout pgtier: %q\nwith pgtier: %q", direct, through)
	}
}
