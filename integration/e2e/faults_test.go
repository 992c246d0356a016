package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// TestPostgresRestart: idle clients do not notice, queued ones wait, one in a transaction is told.
func TestPostgresRestart(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{})
	p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, Pools: map[string]string{"ro": "size = 2", "rw": "size = 1"},
		More: "[timeouts]\nserver_login_retry = \"200ms\""}).Endpoint
	var idle []*pgx.Conn
	for range 5 {
		idle = append(idle, connect(t, p.DSN("alice")))
		wantAnswer(t, idle[len(idle)-1], "SELECT 1", "1")
	}
	busy, queued := connect(t, p.DSN("ingest")), connect(t, p.DSN("ops~rw"))
	wantAnswer(t, queued, "SELECT 1", "1")
	exec(t, busy, "BEGIN")

	result := make(chan string, 1)
	go func() {
		text, err := tryAsk(context.Background(), queued, "SELECT 'served'")
		result <- fmt.Sprint(text, err)
	}()
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-result; got != "served<nil>" {
		t.Errorf("the queued client got %s", got)
	}
	for i, conn := range idle {
		if got, err := tryAsk(deadline(t), conn, "SELECT 'unnoticed'"); err != nil {
			t.Errorf("idle client %d got %q, %v", i, got, err)
		}
	}
	if _, err := tryAsk(deadline(t), busy, "SELECT 1"); err == nil {
		t.Error("a transaction has survived the restart")
	}
}

// TestPostgresAway: while PostgreSQL is down clients wait up to query_wait, are told so, and are served when it is back.
func TestPostgresAway(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{})
	p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt,
		More: "[timeouts]\nserver_login_retry = \"100ms\"\nquery_wait = \"1s\""}).Endpoint
	conn := connect(t, p.DSN("alice"))
	wantAnswer(t, conn, "SELECT 1", "1")
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := tryAsk(deadline(t), conn, "SELECT 1")
	e := wantError(t, err, "08001", `cannot reach database "EPMT" (tier ro); incident `)
	if strings.Contains(e.Error(), fmt.Sprint(cluster.Port)) {
		t.Errorf("the error tells where the server is: %v", e)
	}
	_, err = tryConnect(t, p.DSN("alice", "work_mem=7MB")) // a start that a server must be asked about
	wantError(t, err, "08001")
	if err := cluster.StartServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got string
	harness.Eventually(t, "PostgreSQL is back", func() bool {
		got, err = tryAsk(deadline(t), conn, "SELECT 'back'")
		return err == nil
	})
	if got != "back" {
		t.Errorf("got %q", got)
	}
}

// TestServerProcessKilled: in a query, in a transaction and while idle. Each client concerned gets the server's own words;
// nobody else notices.
func TestServerProcessKilled(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 3"}}).Endpoint
	root := superuser(t, p)
	bystander := connect(t, p.DSN("ops"))
	wantAnswer(t, bystander, "SELECT 1", "1")

	conn := connect(t, p.DSN("alice"))
	result := make(chan error, 1)
	go func() { result <- execOnly(conn.PgConn(), "SELECT pg_sleep(63)") }()
	running(t, p, "pg_sleep(63)")
	exec(t, root, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(63)%' AND usename = 'epmt-ro'")
	wantError(t, <-result, "57P01", "terminating connection due to administrator command")
	if _, err := tryAsk(deadline(t), conn, "SELECT 1"); err == nil {
		t.Error("the session has survived its server")
	}

	conn = connect(t, p.DSN("alice"))
	exec(t, conn, "BEGIN")
	pid := ask(t, conn, "SELECT pg_backend_pid()")
	exec(t, root, "SELECT pg_terminate_backend("+pid+", 30000)")
	_, err := tryAsk(deadline(t), conn, "SELECT 1")
	wantError(t, err, "57P01")

	for range 3 {
		exec(t, root, "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE usename = 'epmt-ro'")
		wantAnswer(t, bystander, "SELECT 'undisturbed'", "undisturbed")
	}
}

// TestServersKilledUnderLoad: each client gets its answer, or an error and not somebody else's answer.
func TestServersKilledUnderLoad(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 4"}}).Endpoint
	root := superuser(t, p)
	ctx, stop := context.WithCancel(deadline(t))
	var clients sync.WaitGroup
	for id := range 20 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := killableClient(ctx, p.DSN("alice"), id); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 40 {
		exec(t, root, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'epmt-ro' LIMIT 1")
	}
	stop()
	clients.Wait()
	wantAnswer(t, connect(t, p.DSN("alice")), "SELECT 'alive'", "alive")
}

// killableClient works until its server is killed or ctx ends.
func killableClient(ctx context.Context, dsn string, id int) error {
	conn, err := pgx.Connect(ctx, dsn)
	for n := 0; err == nil && ctx.Err() == nil; n++ {
		var got int
		if err = conn.QueryRow(ctx, "SELECT $1::int4", id*1000+n%1000).Scan(&got); err == nil && got != id*1000+n%1000 {
			err = fmt.Errorf("client %d got the answer %d", id, got)
			closeConn(conn)
			return err
		}
	}
	if conn != nil {
		closeConn(conn)
	}
	var e *pgconn.PgError
	switch {
	case ctx.Err() != nil, errors.As(err, &e) && (e.Code == "57P01" || e.Code == "08006"):
		return nil
	}
	return fmt.Errorf("client %d: %w", id, err)
}

// TestDrain: a running transaction finishes, idle clients are told, new ones are refused, and the program ends with 0.
func TestDrain(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	idle, busy := connect(t, d.DSN("alice")), connect(t, d.DSN("ingest"))
	wantAnswer(t, idle, "SELECT 1", "1")
	exec(t, busy, "BEGIN; INSERT INTO hosts (name) VALUES ('drained')")
	d.Signal(syscall.SIGTERM)
	harness.Eventually(t, "draining", func() bool { return strings.Contains(d.Log(), "draining") })
	_, err := tryAsk(deadline(t), idle, "SELECT 1")
	wantError(t, err, "57P01")
	_, err = tryConnect(t, d.DSN("alice"))
	wantError(t, err, "57P03")
	wantAnswer(t, busy, "SELECT 'still here'", "still here")
	exec(t, busy, "DELETE FROM hosts WHERE name = 'drained'")
	exec(t, busy, "COMMIT")
	if code := d.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := d.Log(); !strings.Contains(log, "draining") || !strings.Contains(log, `"identity":"ingest"`) || strings.Contains(log, "bug in a session") {
		t.Errorf("log:\n%s", log)
	}
}

// TestSecondSignal: what is still running is cut, which the exit code says.
func TestSecondSignal(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	busy := connect(t, d.DSN("ingest"))
	exec(t, busy, "BEGIN")
	d.Signal(syscall.SIGINT)
	harness.Eventually(t, "draining", func() bool { return strings.Contains(d.Log(), "draining") })
	wantAnswer(t, busy, "SELECT 'still here'", "still here")
	d.Signal(syscall.SIGTERM)
	if code := d.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := tryAsk(deadline(t), busy, "SELECT 1"); err == nil {
		t.Error("the session has survived the program")
	}
}

// TestShutdownTimeout: the same by the clock.
func TestShutdownTimeout(t *testing.T) {
	d := harness.Spawn(t, harness.Options{More: "[timeouts]\nshutdown = \"300ms\""})
	busy := connect(t, d.DSN("ingest"))
	exec(t, busy, "BEGIN")
	d.Signal(syscall.SIGTERM)
	if code := d.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// TestRestartAfterKill: kill -9 leaves a socket file, which the next one takes over.
func TestRestartAfterKill(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	wantAnswer(t, connect(t, d.DSN("alice", "host="+d.SocketDir)), "SELECT 1", "1")
	d.Signal(syscall.SIGKILL)
	d.ExitCode()
	d.Restart()
	wantAnswer(t, connect(t, d.DSN("alice", "host="+d.SocketDir)), "SELECT 1", "1")
}
