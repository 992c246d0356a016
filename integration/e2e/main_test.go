// Package e2e tests pgtier from outside: real clients on one side, a real PostgreSQL on the other. It has no code but tests.
package e2e

import (
	"context"
	"errors"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
)

func TestMain(m *testing.M) { harness.Main(m) }

// deadline is a context for one test's statements: a hang becomes an error at the statement that hangs.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// connect returns a connection that is closed with the test.
func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := tryConnect(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func tryConnect(t testing.TB, dsn string) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return connectWith(t, cfg)
}

// connectMode is connect for a client that sends its queries in this way.
func connectMode(t testing.TB, dsn string, mode pgx.QueryExecMode) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = mode
	conn, err := connectWith(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func connectWith(t testing.TB, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	t.Helper()
	conn, err := pgx.ConnectConfig(deadline(t), cfg)
	if err == nil {
		t.Cleanup(func() { closeConn(conn) })
	}
	return conn, err
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// exec runs SQL, which must work, as a simple query.
func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(deadline(t), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the first column of the first row, as text.
func ask(t testing.TB, conn *pgx.Conn, sql string) string {
	t.Helper()
	text, err := tryAsk(deadline(t), conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func tryAsk(ctx context.Context, conn *pgx.Conn, sql string) (string, error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return "", pgx.ErrNoRows
	}
	return string(last.Rows[0][0]), nil
}

// wantAnswer fails unless the first column of the first row is want.
func wantAnswer(t testing.TB, conn *pgx.Conn, sql, want string) {
	t.Helper()
	if got := ask(t, conn, sql); got != want {
		t.Errorf("%s = %q, want %q", sql, got, want)
	}
}

// wantError fails unless err is PostgreSQL's error with this SQLSTATE and these words in its message or hint.
func wantError(t testing.TB, err error, code string, words ...string) *pgconn.PgError {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error %s", err, code)
	}
	if e.Code != code {
		t.Errorf("got %s %q, want SQLSTATE %s", e.Code, e.Message, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Message+"\n"+e.Hint, w) {
			t.Errorf("%q (hint %q) does not say %q", e.Message, e.Hint, w)
		}
	}
	return e
}

// program is one run of a client program.
type program struct {
	stdout, stderr string
	err            error
}

// run runs one of PostgreSQL's client programs. Passwords are in its arguments: those of the tests are no secrets.
func run(t testing.TB, c *pgtest.Cluster, name string, args ...string) program {
	t.Helper()
	return runEnv(t, c, nil, name, args...)
}

func runEnv(t testing.TB, c *pgtest.Cluster, env []string, name string, args ...string) program {
	t.Helper()
	path, err := c.Binaries.Tool(name)
	if err != nil {
		t.Skip(err)
	}
	var stdout, stderr strings.Builder
	cmd := osexec.CommandContext(deadline(t), path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/nonexistent", "PGCONNECT_TIMEOUT=30"}, env...)
	err = cmd.Run()
	return program{stdout.String(), stderr.String(), err}
}

// psql runs statements, each in a transaction of its own, up to the first that fails.
func psql(t testing.TB, p *harness.Endpoint, dsn string, sql ...string) program {
	t.Helper()
	args := []string{"-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", dsn}
	for _, s := range sql {
		args = append(args, "-c", s)
	}
	return run(t, p.Cluster, "psql", args...)
}

func (r program) want(t testing.TB, stdout string) {
	t.Helper()
	if r.err != nil || strings.TrimSpace(r.stdout) != stdout {
		t.Errorf("got %q, %v\n%s\nwant %q", r.stdout, r.err, r.stderr, stdout)
	}
}

func (r program) wantFailure(t testing.TB, words ...string) {
	t.Helper()
	if r.err == nil {
		t.Errorf("worked, and printed %q", r.stdout)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("stderr %q does not say %q", r.stderr, w)
		}
	}
}

// superuser returns a connection to PostgreSQL itself, on EPMT.
func superuser(t testing.TB, p *harness.Endpoint) *pgx.Conn {
	t.Helper()
	return connect(t, p.Cluster.SuperuserURL(p.EPMT.Database))
}

// wantErrorOf returns the SQLSTATE of err, which must have one.
func wantErrorOf(t testing.TB, err error) string {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error of the server's", err)
	}
	return e.Code
}
