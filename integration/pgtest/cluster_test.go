package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// envOwner makes the test binary play a cluster's owner: see TestDeadOwner.
const envOwner = "PGTEST_PLAY_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(envOwner) != "" {
		playOwner()
	}
	code := testpg.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func connect(t *testing.T, url string) (*pgconn.PgConn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, url)
	if err == nil {
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

func mustConnect(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	conn, err := connect(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestLife(t *testing.T) {
	c := testpg.Start(t, pgtest.Options{Settings: map[string]string{"application_name": `it's a \ name`}})
	if got, err := c.QueryText(t.Context(), "postgres", "SHOW application_name"); err != nil || got != `it's a \ name` {
		t.Errorf("application_name = %q, %v", got, err)
	}
	if err := c.Exec(t.Context(), "postgres", "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	conn, port := mustConnect(t, c.SuperuserURL("postgres")), c.Port
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1").ReadAll(); err == nil {
		t.Error("a connection survived the restart")
	}
	c.Kill()
	if c.Pid() != 0 {
		t.Error("a killed server has a pid")
	}
	if err := c.StartServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Port != port {
		t.Errorf("port %d became %d", port, c.Port)
	}
	if err := c.Exec(t.Context(), "postgres", "TABLE kept"); err != nil {
		t.Errorf("after kill and start: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Close: %v", c.Dir, err)
	}
}

func TestAuth(t *testing.T) {
	c, e := testpg.Shared(t)
	if _, err := connect(t, c.URL(e.RO.Name, "wrong", e.Database)); !hasCode(err, "28P01") {
		t.Errorf("wrong password over TCP: %v", err)
	}
	if _, err := connect(t, c.URL(pgtest.Superuser, "", "postgres")); err == nil {
		t.Error("the superuser needs no password over TCP")
	}
	mustConnect(t, c.URL(e.RO.Name, e.RO.Password, e.Database))
}

func TestTrustAndTLS(t *testing.T) {
	c, e := testpg.StartEPMT(t, pgtest.Options{Auth: pgtest.Trust, TLS: true})
	conn := mustConnect(t, c.URL(e.RO.Name, "not checked", e.Database))
	results, err := conn.Exec(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").ReadAll()
	if err != nil || string(results[0].Rows[0][0]) != "t" {
		t.Errorf("ssl: %v, %v", results, err)
	}
}

func TestEPMTRights(t *testing.T) {
	c, e := testpg.StartEPMT(t, pgtest.Options{})
	conns := map[string]*pgconn.PgConn{}
	for tier, a := range map[string]pgtest.Account{"admin": e.Admin, "rw": e.RW, "ro": e.RO} {
		conns[tier] = mustConnect(t, c.URL(a.Name, a.Password, e.Database))
	}
	// In this order: the table that the migration makes is what the default privileges are about.
	for _, test := range []struct{ tier, sql, code string }{
		{"ro", "SELECT count(*) FROM jobs JOIN processes USING (jobid)", ""},
		{"ro", "DELETE FROM jobs", "42501"},
		{"ro", "CREATE TABLE x ()", "42501"},
		{"ro", "CREATE TEMP TABLE x ()", "42501"},
		{"ro", "SELECT nextval('processes_id_seq')", "42501"},
		{"ro", `SET ROLE "epmt-rw"`, "42501"},
		{"rw", "INSERT INTO processes (jobid, exename, pid, ppid, start) VALUES ('685001', 'cp', 1, 1, now())", ""},
		{"rw", "CREATE TABLE x ()", "42501"},
		{"rw", "TRUNCATE jobs", "42501"},
		{"rw", `SET ROLE "epmt-admin"`, "42501"},
		{"admin", "CREATE TABLE migrated (id serial, note text)", ""},
		{"admin", "ALTER TABLE jobs ADD COLUMN note text", ""},
		{"admin", "CREATE ROLE x", "42501"},
		{"rw", "INSERT INTO migrated (note) VALUES ('default privileges hold')", ""},
		{"ro", "SELECT note FROM migrated", ""},
		{"ro", "INSERT INTO migrated (note) VALUES ('no')", "42501"},
	} {
		_, err := conns[test.tier].Exec(t.Context(), test.sql).ReadAll()
		if test.code == "" && err != nil || test.code != "" && !hasCode(err, test.code) {
			t.Errorf("%s: %s: got %v, want %q", test.tier, test.sql, err, test.code)
		}
	}
}

func hasCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}

func TestRefusals(t *testing.T) {
	testpg.Shared(t) // skips where there is no PostgreSQL
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]pgtest.Options{
		"is not empty":        {Dir: full},
		"not a program":       {BinDir: full},
		"unrecognized config": {Settings: map[string]string{"no_such_setting": "1"}},
	} {
		c, err := pgtest.Start(t.Context(), o)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: got %v, want %q", o, err, name)
		}
	}
	if _, err := os.Stat(filepath.Join(full, "mine")); err != nil {
		t.Errorf("a refused directory was touched: %v", err)
	}
}

// TestDeadOwner kills an owner without any chance to clean up, and expects server and directory to go all the same.
func TestDeadOwner(t *testing.T) {
	testpg.Shared(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envOwner+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var pid int
	if _, err := fmt.Fscanln(bufio.NewReader(out), &dir, &pid); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	eventually(t, "the directory goes", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	})
	eventually(t, "the server goes", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

func playOwner() {
	c, err := pgtest.Start(context.Background(), pgtest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.Dir, c.Pid())
	select {}
}

// eventually polls: what another process does in its own time has no event to wait for.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
