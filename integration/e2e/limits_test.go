package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestPoolSize: the cap holds in pg_stat_activity while the surplus waits, and everybody is served.
func TestPoolSize(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 4"}}).Endpoint
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			conn, err := pgx.Connect(deadline(t), p.DSN("alice"))
			if err != nil {
				t.Error(err)
				return
			}
			defer closeConn(conn)
			for range 5 {
				if _, err := tryAsk(deadline(t), conn, "SELECT pg_sleep(0.02)"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	most := 0
	harness.Eventually(t, "everybody has been served", func() bool {
		most = max(most, p.ServerSessions(t, "ro"))
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if most != 4 {
		t.Errorf("there were up to %d server connections, want 4", most)
	}
}

// TestServerCap: limits.per_server holds over the pools of all tiers.
func TestServerCap(t *testing.T) {
	p := harness.Start(t, harness.Options{More: "[limits]\nper_server = 2\n[timeouts]\nquery_wait = \"500ms\""}).Endpoint
	a, b, c := connect(t, p.DSN("alice")), connect(t, p.DSN("ingest")), connect(t, p.DSN("ops"))
	exec(t, a, "BEGIN")
	exec(t, b, "BEGIN")
	_, err := tryAsk(deadline(t), c, "SELECT 1")
	wantError(t, err, "53300", "no free connection")
	exec(t, b, "COMMIT")
	wantAnswer(t, c, "SELECT 'room'", "room") // rw's idle connection made room
}

// TestQueryWait: a query that waits too long fails, with the words of the documentation, and its session lives on.
func TestQueryWait(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"admin": "size = 2, min = 2", "ro": "size = 1, min = 1"},
		More: "[timeouts]\nquery_wait = \"300ms\""}).Endpoint
	// A login to the server may take longer than that; nobody here is to wait for one.
	harness.Eventually(t, "the pools are warm", func() bool { return p.ServerSessions(t, "admin") == 2 && p.ServerSessions(t, "ro") == 1 })
	holder, conn := connect(t, p.DSN("alice")), connect(t, p.DSN("alice"))
	wantAnswer(t, conn, "SELECT 1", "1")
	exec(t, holder, "BEGIN")
	for range 2 {
		_, err := tryAsk(deadline(t), conn, "SELECT 1")
		wantError(t, err, "53300", `no free connection for tier "ro" after 3`, "(1 of 1 in use)")
		var n int
		wantError(t, conn.QueryRow(deadline(t), "SELECT $1::int4", 1).Scan(&n), "53300", "no free connection")
	}
	exec(t, holder, "COMMIT")
	wantAnswer(t, conn, "SELECT 'alive'", "alive")

	// In session mode it is the login that waits.
	for range 2 {
		wantAnswer(t, connect(t, p.DSN("migrate")), "SELECT 1", "1")
	}
	third, err := tryConnect(t, p.DSN("migrate"))
	if err == nil {
		_, err = tryAsk(deadline(t), third, "SELECT 1")
	}
	wantError(t, err, "53300", `no free connection for tier "admin"`, "(2 of 2 in use)")
}

// TestTimeouts: each kills its own case and nothing else.
func TestTimeouts(t *testing.T) {
	const long, short = "400ms", "0.01"
	for _, c := range []struct {
		name, code string
		victim     []string // the last one must fail
		survivor   []string
	}{
		{"idle_transaction", "25P03", []string{"BEGIN", "wait"}, []string{"SELECT 1", "wait", "BEGIN", "SELECT pg_sleep(0.7)", "COMMIT"}},
		{"query", "57014", []string{"SELECT pg_sleep(64)"}, []string{"BEGIN", "wait", "SELECT pg_sleep(" + short + ")", "COMMIT", "wait", "SELECT 1"}},
		{"transaction", "25P04", []string{"BEGIN", "SELECT pg_sleep(" + short + ")", "wait"}, []string{"SELECT 1", "wait", "BEGIN", "COMMIT", "wait", "SELECT 1"}},
		{"client_idle", "57P05", []string{"SELECT 1", "wait"}, []string{"BEGIN", "wait", "SELECT pg_sleep(0.7)", "COMMIT"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := harness.Start(t, harness.Options{Tiers: map[string]string{"ro": "timeouts = { " + c.name + " = \"" + long + "\" }"}}).Endpoint
			if err := script(t, p, c.survivor); err != nil {
				t.Errorf("the wrong one died: %v", err)
			}
			wantError(t, script(t, p, c.victim), c.code, "pgtier")
			wantAnswer(t, connect(t, p.DSN("alice")), "SELECT 'alive'", "alive")
		})
	}
}

// script runs statements on a new connection. "wait" is silence of 700 ms, in which the server may say something.
func script(t *testing.T, p *harness.Endpoint, statements []string) error {
	t.Helper()
	conn := connect(t, p.DSN("alice"))
	for _, sql := range statements {
		if sql != "wait" {
			if _, err := conn.PgConn().Exec(deadline(t), sql).ReadAll(); err != nil {
				return err
			}
			continue
		}
		// What is waited for is an end that must, or must not, come in this time: there is nothing to synchronise with.
		ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
		err := conn.PgConn().WaitForNotification(ctx)
		silent := ctx.Err() != nil
		cancel()
		if !silent {
			return err
		}
	}
	return nil
}

// TestSessionLimit: access that ends, ends in a transaction too.
func TestSessionLimit(t *testing.T) {
	p := harness.Start(t, harness.Options{Grants: map[string]string{
		"alice":  `limits = { session = "500ms" }`,
		"ingest": "expires = " + time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339Nano),
		"ops":    "limits = { connections = 2 }",
	}}).Endpoint
	limited, expiring := connect(t, p.DSN("alice")), connect(t, p.DSN("ingest"))
	exec(t, expiring, "BEGIN")
	_, err := tryAsk(deadline(t), limited, "SELECT pg_sleep(65)")
	wantError(t, err, "57P01", `access to tier "ro" on "EPMT" ended (session limit 500ms)`)
	_, err = tryAsk(deadline(t), expiring, "SELECT pg_sleep(66)")
	wantError(t, err, "57P01", `access to tier "rw" on "EPMT" ended (grant expired`)
	_, err = tryConnect(t, p.DSN("ingest"))
	wantError(t, err, "28000", `"ingest" has no access to database "EPMT"`)
	wantAnswer(t, connect(t, p.DSN("alice")), "SELECT 'again'", "again")

	one, two := connect(t, p.DSN("ops")), connect(t, p.DSN("ops~rw"))
	_, err = tryConnect(t, p.DSN("ops"))
	wantError(t, err, "53300", `too many connections for "ops"`)
	wantAnswer(t, one, "SELECT 1", "1")
	closeConn(two)
	harness.Eventually(t, "a place is free", func() bool {
		conn, err := tryConnect(t, p.DSN("ops"))
		if err == nil {
			closeConn(conn)
		}
		return err == nil
	})
}

// TestReserve: more than size, once somebody has waited long enough.
func TestReserve(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": `size = 1, reserve = 1, reserve_after = "200ms"`},
		More: "[timeouts]\nquery_wait = \"1s\""}).Endpoint
	a, b, c := connect(t, p.DSN("alice")), connect(t, p.DSN("alice")), connect(t, p.DSN("alice"))
	exec(t, a, "BEGIN")
	exec(t, b, "BEGIN")
	if n := p.ServerSessions(t, "ro"); n != 2 {
		t.Errorf("%d server connections", n)
	}
	_, err := tryAsk(deadline(t), c, "SELECT 1")
	wantError(t, err, "53300")
}

// TestServerIdleAndMin: idle server connections are closed, down to min; those that min asks for are opened by themselves.
func TestServerIdleAndMin(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 5, min = 2"},
		Tiers: map[string]string{"ro": `timeouts = { server_idle = "300ms" }`}}).Endpoint
	harness.Eventually(t, "min is open", func() bool { return p.ServerSessions(t, "ro") == 2 })
	var conns []*pgx.Conn
	for range 5 {
		conn := connect(t, p.DSN("alice"))
		exec(t, conn, "BEGIN")
		conns = append(conns, conn)
	}
	if n := p.ServerSessions(t, "ro"); n != 5 {
		t.Errorf("%d server connections, want 5", n)
	}
	for _, conn := range conns {
		exec(t, conn, "COMMIT")
	}
	harness.Eventually(t, "back to min", func() bool { return p.ServerSessions(t, "ro") == 2 })
	wantAnswer(t, conns[0], "SELECT 'alive'", "alive")
}

// TestServerLifetime: an old connection is replaced, without anybody noticing.
func TestServerLifetime(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"},
		Tiers: map[string]string{"ro": `timeouts = { server_lifetime = "300ms" }`}}).Endpoint
	conn := connect(t, p.DSN("alice"))
	first := ask(t, conn, "SELECT pg_backend_pid()")
	harness.Eventually(t, "another server", func() bool { return ask(t, conn, "SELECT pg_backend_pid()") != first })
	exec(t, conn, "BEGIN")
	held := ask(t, conn, "SELECT pg_backend_pid()")
	exec(t, conn, "SELECT pg_sleep(0.6)")
	wantAnswer(t, conn, "SELECT pg_backend_pid()", held) // never under a transaction
	exec(t, conn, "COMMIT")
}

// TestClientLimit: limits.connections counts logins too, and frees what it counted.
func TestClientLimit(t *testing.T) {
	p := harness.Start(t, harness.Options{More: "[limits]\nconnections = 3\nper_identity = 2"}).Endpoint
	a, b := connect(t, p.DSN("alice")), connect(t, p.DSN("alice"))
	_, err := tryConnect(t, p.DSN("alice"))
	wantError(t, err, "53300", `too many connections for "alice"`)
	var c *pgx.Conn
	harness.Eventually(t, "the refused login is over", func() bool {
		c, err = tryConnect(t, p.DSN("ingest"))
		return err == nil
	})
	_, err = tryConnect(t, p.DSN("ops"))
	wantError(t, err, "53300", "too many clients")
	for _, conn := range []*pgx.Conn{a, b, c} {
		wantAnswer(t, conn, "SELECT 1", "1")
		closeConn(conn)
	}
	var conn *pgx.Conn
	harness.Eventually(t, "places are free", func() bool {
		conn, err = tryConnect(t, p.DSN("alice"))
		return err == nil
	})
	wantAnswer(t, conn, "SELECT 1", "1")
}

// TestShare: pool.per_identity bounds the server connections of one identity; others get the rest.
func TestShare(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 4, per_identity = 2"}, More: "[timeouts]\nquery_wait = \"2s\""}).Endpoint
	var holders []*pgx.Conn
	for range 2 {
		holders = append(holders, connect(t, p.DSN("alice")))
		exec(t, holders[len(holders)-1], "BEGIN")
	}
	third, other := connect(t, p.DSN("alice")), connect(t, p.DSN("ops"))
	_, err := tryAsk(deadline(t), third, "SELECT 1")
	wantError(t, err, "53300", `no free connection for tier "ro"`, "(2 of 2 in use)")
	wantAnswer(t, other, "SELECT 'room'", "room")
	exec(t, holders[0], "COMMIT")
	wantAnswer(t, third, "SELECT 'mine'", "mine")
	exec(t, holders[1], "COMMIT")
}

// TestFairness: a busy identity does not starve another of the same pool.
func TestFairness(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	ctx, stop := context.WithCancel(deadline(t))
	var crowd sync.WaitGroup
	for range 30 {
		conn := connect(t, p.DSN("alice"))
		crowd.Go(func() {
			for ctx.Err() == nil {
				if err := execOnly(conn.PgConn(), "SELECT pg_sleep(0.005)"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	conn := connect(t, p.DSN("ops"))
	for range 20 {
		wantAnswer(t, conn, "SELECT 'served'", "served")
	}
	stop()
	crowd.Wait()
}
