package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestRollingRestart: two pgtiers on two ports, and clients that know both. One is stopped, then the other while the first
// runs again, and no transaction is lost or done twice.
func TestRollingRestart(t *testing.T) {
	one, two := harness.Spawn(t, harness.Options{}), harness.Spawn(t, harness.Options{})
	owner := connect(t, one.DSN("migrate"))
	exec(t, owner, "CREATE TABLE rolled (client int, n int, PRIMARY KEY (client, n))")
	t.Cleanup(func() { create(t, one.Cluster, one.EPMT.Database, "DROP TABLE rolled") })
	closeConn(owner)
	dsn := strings.Replace(one.DSN("ingest"), one.Addr(), one.Addr()+","+two.Addr(), 1)
	clients := make([]*roller, 6)
	var stop atomic.Bool
	var work sync.WaitGroup
	for i := range clients {
		clients[i] = &roller{dsn: dsn, id: i}
		work.Go(func() { clients[i].run(t, &stop) })
	}
	moreRows := func() {
		for _, c := range clients {
			from := c.wrote.Load()
			harness.Eventually(t, "every client goes on", func() bool { return c.wrote.Load() > from+3 || t.Failed() })
		}
	}
	moreRows()
	stopUnderLoad(t, one, two, dsn)
	moreRows()
	one.Restart()
	stopUnderLoad(t, two, one, dsn)
	moreRows()
	stop.Store(true)
	work.Wait()
	for _, c := range clients {
		got, err := one.Cluster.QueryText(t.Context(), one.EPMT.Database, fmt.Sprintf("SELECT count(*) FROM rolled WHERE client = %d", c.id))
		if want := fmt.Sprint(c.wrote.Load()); got != want || err != nil {
			t.Errorf("client %d wrote %s rows, %s are there (%v)", c.id, want, got, err)
		}
	}
}

// stopUnderLoad drains from, and sees what a client has of it that is in a transaction there, and one that comes.
func stopUnderLoad(t *testing.T, from, to *harness.Daemon, dsn string) {
	t.Helper()
	busy, sleeper := connect(t, from.DSN("ops~rw")), connect(t, from.DSN("alice"))
	exec(t, busy, "BEGIN; INSERT INTO rolled VALUES (-1, 1)")
	sleeps := goOn(func() error { return execOnly(sleeper.PgConn(), "SELECT pg_sleep(64)") })
	running(t, from.Endpoint, "pg_sleep(64)")
	from.Signal(syscall.SIGTERM)
	harness.Eventually(t, "draining", func() bool { return strings.Contains(from.Log(), `"msg":"draining"`) })
	arrives := connect(t, dsn)
	if got := arrives.PgConn().Conn().RemoteAddr().String(); got != to.Addr() {
		t.Errorf("a client that came then is at %s, want %s", got, to.Addr())
	}
	psql(t, to.Endpoint, dsn, "SELECT 'moved'").want(t, "moved")
	// A cancel request still finds its session.
	wantError(t, cancelUntil(t, sleeper, sleeps), "57014")
	wantAnswer(t, busy, "SELECT 'still here'", "still here")
	exec(t, busy, "ROLLBACK")
	if code := from.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// roller is a client that writes one row after the other, and connects again when it is told that pgtier goes away.
type roller struct {
	dsn   string
	id    int
	wrote atomic.Int64
}

func (r *roller) run(t *testing.T, stop *atomic.Bool) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			closeConn(conn)
		}
	}()
	for ctx := deadline(t); !stop.Load(); {
		var err error
		if conn == nil || conn.IsClosed() {
			if conn, err = pgx.Connect(ctx, r.dsn); err != nil {
				t.Errorf("client %d cannot connect: %v", r.id, err)
				return
			}
		}
		if err = r.write(ctx, conn); err != nil {
			t.Errorf("client %d, row %d: %v", r.id, r.wrote.Load(), err)
			return
		}
	}
}

// write writes the next row. That the session has ended before it is no error, and then the row must not be there.
func (r *roller) write(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "INSERT INTO rolled VALUES ($1, $2)", r.id, r.wrote.Load())
	var e *pgconn.PgError
	switch {
	case err == nil:
		r.wrote.Add(1)
	case errors.As(err, &e) && e.Code != "57P01", ctx.Err() != nil:
		return err
	default: // told so, or the connection was closed before the row was sent
		closeConn(conn)
	}
	return nil
}

// TestSecondOnOnePort: who starts a second pgtier where one runs is told so, and the first goes on.
func TestSecondOnOnePort(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	conn := connect(t, d.DSN("alice"))
	output, code := d.Again()
	if code != 1 || !strings.Contains(output, "listen on "+d.Addr()+": ") || !strings.Contains(output, "address already in use") {
		t.Errorf("exit code %d, %s", code, output)
	}
	wantAnswer(t, conn, "SELECT 1", "1")
	wantAnswer(t, connect(t, d.DSN("alice", "host="+d.SocketDir)), "SELECT 1", "1")
}
