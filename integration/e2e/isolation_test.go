package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// leaveState leaves everything behind that a session can leave behind.
var leaveState = []string{
	"CREATE TEMP TABLE left_over AS SELECT 42 AS n",
	"SET search_path = pg_temp, public",
	"SET work_mem = '7MB'",
	"SET my.secret = 'left over'",
	"PREPARE left_over AS SELECT 42",
	"SELECT pg_advisory_lock(4711)",
	"LISTEN left_over",
	"BEGIN; DECLARE left_over CURSOR WITH HOLD FOR SELECT 42; COMMIT",
}

// seeState finds it: each must answer "clean".
var seeState = []string{
	"SELECT CASE WHEN to_regclass('pg_temp.left_over') IS NULL THEN 'clean' END",
	"SELECT CASE WHEN current_setting('search_path') = '\"$user\", public' THEN 'clean' END",
	"SELECT CASE WHEN current_setting('work_mem') = '4MB' THEN 'clean' END",
	"SELECT CASE WHEN coalesce(current_setting('my.secret', true), '') = '' THEN 'clean' END",
	"SELECT CASE WHEN count(*) FILTER (WHERE name = 'left_over') = 0 THEN 'clean' END FROM pg_prepared_statements",
	"SELECT CASE WHEN count(*) = 0 THEN 'clean' END FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
	"SELECT CASE WHEN count(*) = 0 THEN 'clean' END FROM pg_listening_channels()",
	"SELECT CASE WHEN count(*) = 0 THEN 'clean' END FROM pg_cursors WHERE name = 'left_over'",
}

// TestIdentityChange is guarantee G5: what one identity leaves on a server, another one on the same server does not see.
func TestIdentityChange(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	exec(t, superuser(t, p), `GRANT TEMPORARY ON DATABASE "EPMT" TO "epmt-rw"`)
	for _, whole := range []bool{false, true} {
		ingest := connect(t, p.DSN("ingest"))
		server := ask(t, ingest, "SELECT pg_backend_pid()")
		statements := leaveState
		if !whole {
			statements = []string{"SET work_mem = '7MB'", "SET my.secret = 'left over'"} // what does not pin the server
		}
		for _, sql := range statements {
			exec(t, ingest, sql)
		}
		if whole {
			closeConn(ingest) // it would keep the server
		}
		ops := connect(t, p.DSN("ops~rw"))
		if got := ask(t, ops, "SELECT pg_backend_pid()"); got != server {
			t.Logf("another server: %s instead of %s", got, server)
		}
		for _, sql := range seeState {
			wantAnswer(t, ops, sql, "clean")
		}
		closeConn(ops)
		if !whole { // and its owner still has it
			wantAnswer(t, ingest, "SELECT current_setting('work_mem') || current_setting('my.secret')", "7MBleft over")
			closeConn(ingest)
		}
	}
}

// TestSessionMode: a session has one server for its life and all of SQL with it, and the next one finds a clean server.
func TestSessionMode(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"admin": "size = 1"}}).Endpoint
	for range 2 {
		conn := connect(t, p.DSN("migrate"))
		server := ask(t, conn, "SELECT pg_backend_pid()")
		for _, sql := range seeState {
			wantAnswer(t, conn, sql, "clean")
		}
		for _, sql := range leaveState {
			exec(t, conn, sql)
		}
		wantAnswer(t, conn, "EXECUTE left_over", "42")
		wantAnswer(t, conn, "SELECT n FROM left_over", "42")
		wantAnswer(t, conn, "FETCH left_over", "42")
		wantAnswer(t, conn, "SELECT current_setting('my.secret')", "left over")
		wantAnswer(t, conn, "SELECT pg_backend_pid()", server)
		notify(t, conn)
		closeConn(conn)
	}
	wantAnswer(t, connect(t, p.DSN("ops~admin")), seeState[0], "clean")
}

// notify sends a notification to itself.
func notify(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	exec(t, conn, "NOTIFY left_over, 'hello'")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if n, err := conn.WaitForNotification(ctx); err != nil || n.Payload != "hello" {
		t.Errorf("got the notification %+v, %v", n, err)
	}
}

// TestNotifyBetweenSessions: LISTEN in one session, NOTIFY from another tier.
func TestNotifyBetweenSessions(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	listener := dialRaw(t, p, "migrate", nil)
	listener.send(&pgproto3.Query{String: "LISTEN news"})
	if got := listener.answers(1); got != "LISTEN ready:I" {
		t.Fatal(got)
	}
	exec(t, connect(t, p.DSN("ingest")), "NOTIFY news, 'from rw'")
	if n := until[*pgproto3.NotificationResponse](listener); n.Channel != "news" || n.Payload != "from rw" {
		t.Errorf("got %+v", n)
	}
}

// TestTransactionOfTheDead: what a client leaves open when it vanishes is rolled back, and its server is clean.
func TestTransactionOfTheDead(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	for _, last := range []string{"SELECT 1", "SELECT 1/0", "SELECT pg_sleep(67)", "LOCK TABLE hosts"} {
		c := dialRaw(t, p, "ingest", nil)
		c.send(&pgproto3.Query{String: "BEGIN"}, &pgproto3.Query{String: "INSERT INTO hosts (name) VALUES ('left over')"})
		c.answers(2)
		c.send(&pgproto3.Query{String: last})
		if strings.Contains(last, "sleep") {
			running(t, p, last)
		}
		_ = c.conn.Close()
		conn := connect(t, p.DSN("ops~rw"))
		wantAnswer(t, conn, "SELECT count(*) FROM hosts WHERE name = 'left over'", "0")
		closeConn(conn)
	}
	// In the middle of an extended batch, and of a frame.
	for _, b := range [][]byte{{'P', 0, 0, 0, 16, 0, 'S', 'E', 'L', 'E', 'C', 'T', ' ', '1', 0, 0, 0}, {'Q', 0, 0, 1, 0, 'S', 'E'}} {
		c := dialRaw(t, p, "ingest", nil)
		c.write(b)
		_ = c.conn.Close()
		wantAnswer(t, connect(t, p.DSN("ops~rw")), "SELECT 'alive'", "alive")
	}
}

// TestSetRoleStaysInside: nothing that a client says leads from a tier to another's rights.
func TestSetRoleStaysInside(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	conn := connect(t, p.DSN("alice"))
	for _, sql := range []string{
		`SET ROLE "epmt-rw"`, `SET ROLE "epmt-admin"`, `SET SESSION AUTHORIZATION "epmt-admin"`, `SELECT set_config('role', 'epmt-rw', false)`,
		`DO $$ BEGIN EXECUTE 'SET ROLE "epmt-admin"'; END $$`, `ALTER ROLE "epmt-ro" SUPERUSER`, `CREATE TABLE mine ()`, `COPY jobs TO PROGRAM 'id'`,
	} {
		err := execOnly(conn.PgConn(), sql)
		var e *pgconn.PgError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", sql, err)
			conn = connect(t, p.DSN("alice"))
		}
		wantAnswer(t, conn, "RESET ROLE; SELECT current_user || ' ' || session_user", "epmt-ro epmt-ro")
	}
}
