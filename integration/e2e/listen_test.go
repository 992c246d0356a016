package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// onTwo is a pgtier whose rw tier has two server connections.
func onTwo(t *testing.T) *harness.Proxy {
	t.Helper()
	return harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 2"}})
}

// TestListenManyOnFew: 50 listeners on 10 channels and 5,000 notifications from several senders in transactions. Each
// listener gets those of its channel, in each sender's order, none twice, and the server has three connections.
func TestListenManyOnFew(t *testing.T) {
	const listeners, channels, senders, each = 50, 10, 5, 1000
	p := onTwo(t)
	heard := make([][]string, listeners)
	var ready, done sync.WaitGroup
	for i := range listeners {
		conn := connect(t, p.DSN("ingest"))
		ready.Add(1)
		done.Go(func() {
			_, err := conn.Exec(deadline(t), fmt.Sprintf("LISTEN channel_%d", i%channels))
			ready.Done()
			for n := 0; err == nil && n < senders*each/channels; n++ {
				var got *pgconn.Notification
				if got, err = conn.WaitForNotification(deadline(t)); err == nil {
					heard[i] = append(heard[i], got.Channel+" "+got.Payload)
				}
			}
			if err != nil {
				t.Errorf("listener %d after %d notifications: %v", i, len(heard[i]), err)
			}
		})
	}
	ready.Wait()
	var sending sync.WaitGroup
	for s := range senders {
		conn := connect(t, p.DSN("ingest"))
		sending.Go(func() { notifyInTransactions(t, conn, s, channels, each) })
	}
	sending.Wait()
	done.Wait()
	if n := p.ServerSessions(t, "rw"); n > 3 {
		t.Errorf("%d server connections, want 2 and one that listens", n)
	}
	for i, all := range heard {
		checkHeard(t, i%channels, all, senders, each/channels)
	}
}

// notifyInTransactions sends n notifications, ten in each transaction, round the channels; every other transaction is
// preceded by one that is rolled back.
func notifyInTransactions(t *testing.T, conn *pgx.Conn, sender, channels, n int) {
	for i := 0; i < n; i += channels {
		var b strings.Builder
		for c := range channels {
			fmt.Fprintf(&b, "NOTIFY channel_%d, '%d %d';", c, sender, i/channels)
		}
		sql := "BEGIN;" + b.String() + "COMMIT"
		if i/channels%2 == 1 {
			sql = "BEGIN; NOTIFY channel_0, 'undone'; ROLLBACK;" + sql
		}
		if _, err := conn.Exec(deadline(t), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Error(err)
			return
		}
	}
}

// checkHeard: n from each sender, in its order.
func checkHeard(t *testing.T, channel int, all []string, senders, n int) {
	t.Helper()
	next := make([]int, senders)
	for _, text := range all {
		var c, s, i int
		if _, err := fmt.Sscanf(text, "channel_%d %d %d", &c, &s, &i); err != nil || c != channel || i != next[s] {
			t.Fatalf("channel %d: got %q, want number %d of the sender (%v)", channel, text, next[s], err)
		}
		next[s]++
	}
	for s := range next {
		if next[s] != n {
			t.Errorf("channel %d: %d notifications of sender %d, want %d", channel, next[s], s, n)
		}
	}
}

// wantHeard waits for notifications and compares them; "channel payload" each.
func wantHeard(t *testing.T, conn *pgx.Conn, want ...string) {
	t.Helper()
	for _, w := range want {
		got, err := conn.WaitForNotification(deadline(t))
		if err != nil {
			t.Fatalf("waiting for %q: %v", w, err)
		}
		if text := got.Channel + " " + got.Payload; text != w {
			t.Fatalf("got %q, want %q", text, w)
		}
	}
}

// TestListenTransactions: a LISTEN or UNLISTEN counts when its transaction has committed, and only then.
func TestListenTransactions(t *testing.T) {
	for _, c := range []struct{ name, sql, want string }{
		{"rolled back", "BEGIN; LISTEN a; ROLLBACK", ""},
		{"rolled back, in several requests", "BEGIN|LISTEN a|ROLLBACK", ""},
		{"failed", "BEGIN|LISTEN a|SELECT 1/0|COMMIT", ""},
		{"failed text", "LISTEN a; SELECT 1/0", ""},
		{"committed", "BEGIN|LISTEN a|SELECT 1|COMMIT", "a"},
		{"committed, behind a failure", "BEGIN|SAVEPOINT s|SELECT 1/0|ROLLBACK TO s|LISTEN a|COMMIT", "a"},
		{"savepoint rolled back", "BEGIN|LISTEN a|SAVEPOINT s|LISTEN b|ROLLBACK TO s|COMMIT", "a"},
		{"several at once", "LISTEN a; LISTEN b; LISTEN a", "a b"},
		{"listened and not", "BEGIN; LISTEN a; LISTEN b; UNLISTEN a; COMMIT", "b"},
		{"UNLISTEN", "LISTEN a|LISTEN b|UNLISTEN a", "b"},
		{"UNLISTEN rolled back", "LISTEN a|BEGIN; UNLISTEN a; ROLLBACK", "a"},
		{"UNLISTEN failed", "LISTEN a|UNLISTEN a; SELECT 1/0", "a"},
		{"UNLISTEN all", "LISTEN a|LISTEN b|SELECT 1; UNLISTEN *; RESET ALL", ""},
		{"again", "LISTEN a|UNLISTEN *|LISTEN a", "a"},
		{"again, rolled back", "LISTEN a|BEGIN|UNLISTEN a|LISTEN a|ROLLBACK", "a"},
		{"DISCARD ALL", "LISTEN a|DISCARD ALL", ""},
		{"behind DISCARD ALL", "LISTEN b|DISCARD ALL|LISTEN a", "a"},
		{"quoted", `LISTEN "a"`, "a"},
		{"folded", `LISTEN A`, "a"},
		{"by a function", "DO $$ BEGIN EXECUTE 'LISTEN c'; END $$|LISTEN a", "a c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := onTwo(t)
			conn, sender := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
			for _, sql := range strings.Split(c.sql, "|") {
				_, err := conn.Exec(deadline(t), sql, pgx.QueryExecModeSimpleProtocol)
				if err != nil && !strings.Contains(sql, "1/0") {
					t.Fatal(sql, err)
				}
			}
			exec(t, sender, "NOTIFY a, '1'; NOTIFY b, '1'; NOTIFY c, '1'")
			// What is not wanted would have come before this.
			exec(t, conn, "LISTEN last")
			exec(t, sender, "NOTIFY last, '1'")
			var want []string
			for _, channel := range strings.Fields(c.want) {
				want = append(want, channel+" 1")
			}
			if strings.Contains(c.want, "c") { // from another connection: no order between the two
				got := map[string]bool{}
				for range len(want) + 1 {
					n, err := conn.WaitForNotification(deadline(t))
					if err != nil {
						t.Fatal(err)
					}
					got[n.Channel] = true
				}
				if !got["a"] || !got["c"] || !got["last"] {
					t.Errorf("got %v", got)
				}
				return
			}
			wantHeard(t, conn, append(want, "last 1")...)
		})
	}
}

// TestListenModes: LISTEN in each way in which pgx sends a query, and a second time, when it has been prepared.
func TestListenModes(t *testing.T) {
	p := onTwo(t)
	sender := connect(t, p.DSN("ingest"))
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connectMode(t, p.DSN("ingest"), mode)
			for range 2 {
				for _, sql := range []string{"LISTEN modes", "UNLISTEN modes", "LISTEN modes"} {
					if _, err := conn.Exec(deadline(t), sql); err != nil {
						t.Fatal(err)
					}
				}
				exec(t, sender, "NOTIFY modes, 'naïve ♞'")
				wantHeard(t, conn, "modes naïve ♞")
			}
		})
	}
}

// TestListenToOneself: a client hears itself, once, and the notification carries the pid of who sent it.
func TestListenToOneself(t *testing.T) {
	p := onTwo(t)
	conn := connect(t, p.DSN("ingest"))
	exec(t, conn, "BEGIN; LISTEN me; NOTIFY me, '1'; COMMIT")
	exec(t, conn, "NOTIFY me, '2'")
	exec(t, conn, "BEGIN")
	exec(t, conn, "NOTIFY me, '3'")
	exec(t, conn, "COMMIT")
	for _, want := range []string{"1", "2", "3"} {
		n, err := conn.WaitForNotification(deadline(t))
		if err != nil || n.Payload != want || n.PID == 0 {
			t.Fatalf("got %+v, %v, want %s", n, err, want)
		}
	}
}

// TestListenOutsideTransactions: what comes while the client is in a transaction comes behind it.
func TestListenOutsideTransactions(t *testing.T) {
	p := onTwo(t)
	conn, sender := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	exec(t, conn, "LISTEN quiet")
	other := connect(t, p.DSN("ingest"))
	exec(t, other, "LISTEN quiet")
	exec(t, conn, "BEGIN")
	for i := range 3 {
		exec(t, sender, fmt.Sprintf("NOTIFY quiet, '%d'", i))
	}
	wantHeard(t, other, "quiet 0", "quiet 1", "quiet 2") // so pgtier has them
	results, err := conn.PgConn().Exec(deadline(t), "SELECT 1").ReadAll()
	if err != nil || len(results) != 1 {
		t.Fatal(err)
	}
	exec(t, conn, "COMMIT")
	wantHeard(t, conn, "quiet 0", "quiet 1", "quiet 2")
}

// TestListenSlow: a listener that does not read is told so and closed; the others hear everything.
func TestListenSlow(t *testing.T) {
	p := onTwo(t)
	slow, fast := dialRaw(t, p.Endpoint, "ingest", nil), connect(t, p.DSN("ingest"))
	slow.send(msgs(query("LISTEN flood"))...)
	slow.answers(1)
	exec(t, fast, "LISTEN flood")
	sender := connect(t, p.DSN("ingest"))
	const rounds, inEach = 60, 40 // times 7 KB: 16 MB, more than any socket holds
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range rounds {
			sql := fmt.Sprintf("SELECT pg_notify('flood', '%d ' || n || repeat('x', 7000)) FROM generate_series(1, %d) n", i, inEach)
			if _, err := sender.Exec(deadline(t), sql); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range rounds * inEach {
		if _, err := fast.WaitForNotification(deadline(t)); err != nil {
			t.Fatalf("the fast listener after %d: %v", n, err)
		}
	}
	sending.Wait()
	wantEnded(t, p, "54000", "too many notifications wait")
}

// wantEnded waits for a session that ended with this error.
func wantEnded(t *testing.T, p *harness.Proxy, code, words string) {
	t.Helper()
	harness.Eventually(t, "a session ends with "+code, func() bool {
		for _, e := range p.Logs.FilterMessage("session ended").All() {
			m := e.ContextMap()
			if text, _ := m["error"].(string); m["sqlstate"] == code && strings.Contains(text, words) {
				return true
			}
		}
		return false
	})
}

// TestListenRestart: a restart of the server ends the listeners, and nobody else; later ones listen again.
func TestListenRestart(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{})
	p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, Pools: map[string]string{"rw": "size = 2"}})
	conn, bystander := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	exec(t, conn, "LISTEN restart")
	exec(t, bystander, "SELECT 1")
	if err := cluster.Restart(deadline(t)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.WaitForNotification(deadline(t))
	wantError(t, err, "57P01", "listens for notifications was lost", "LISTEN again")
	exec(t, bystander, "SELECT 1")
	again := connect(t, p.DSN("ingest"))
	exec(t, again, "LISTEN restart")
	exec(t, bystander, "NOTIFY restart, 'back'")
	wantHeard(t, again, "restart back")
}

// TestListenKilled: so does the end of the hub's connection alone.
func TestListenKilled(t *testing.T) {
	p := onTwo(t)
	conn := connect(t, p.DSN("ingest"))
	exec(t, conn, "LISTEN killed")
	super := superuser(t, p.Endpoint)
	wantAnswer(t, super, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgtier listener'", "1")
	_, err := conn.WaitForNotification(deadline(t))
	wantError(t, err, "57P01", "listens for notifications was lost")
}

// TestListenNoServer: when the hub cannot log in the LISTEN fails and the session lives.
func TestListenNoServer(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}})
	conn := connect(t, p.DSN("ingest"))
	exec(t, conn, "SELECT 1")
	super := superuser(t, p.Endpoint)
	exec(t, super, `ALTER ROLE "epmt-rw" CONNECTION LIMIT 1`)
	defer exec(t, super, `ALTER ROLE "epmt-rw" CONNECTION LIMIT -1`)
	_, err := conn.Exec(deadline(t), "LISTEN refused")
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Severity != "ERROR" {
		t.Fatalf("got %v, want an ERROR", err)
	}
	wantAnswer(t, conn, "SELECT 1", "1")
}

// TestListenTLS: the hub's connection, and the client's, are encrypted like the others.
func TestListenTLS(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{TLS: true})
	p := harness.Start(t, harness.Options{
		Cluster: cluster, EPMT: epmt, TLS: true, Pools: map[string]string{"rw": "size = 2"},
		Server: fmt.Sprintf("sslmode = \"verify-full\"\nsslrootcert = %q", cluster.CAFile),
	})
	conn, sender := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	exec(t, conn, "LISTEN tls")
	for i := range 100 {
		exec(t, sender, fmt.Sprintf("NOTIFY tls, '%d'", i))
	}
	for i := range 100 {
		wantHeard(t, conn, fmt.Sprintf("tls %d", i))
	}
	super := connect(t, cluster.SuperuserURL(epmt.Database))
	wantAnswer(t, super, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'epmt-rw'", "t")
}

// TestListenLimit: one channel more than a client may listen to.
func TestListenLimit(t *testing.T) {
	p := onTwo(t)
	conn := connect(t, p.DSN("ingest"))
	for i := 0; i < 1000; i += 100 {
		var b strings.Builder
		for n := range 100 {
			fmt.Fprintf(&b, "LISTEN limit_%d;", i+n)
		}
		exec(t, conn, b.String())
	}
	_, err := conn.Exec(deadline(t), "LISTEN one_more")
	wantError(t, err, "54000", "too many channels")
	exec(t, conn, "NOTIFY limit_999, 'x'")
	wantHeard(t, conn, "limit_999 x")
}

// TestListenEncoding: a client with another encoding than the server connection's keeps one for itself, as before.
func TestListenEncoding(t *testing.T) {
	p := onTwo(t)
	conn, sender := dialRaw(t, p.Endpoint, "ingest", map[string]string{"client_encoding": "LATIN1"}), connect(t, p.DSN("ingest"))
	conn.send(msgs(query("LISTEN latin"))...)
	conn.answers(1)
	exec(t, sender, "NOTIFY latin, 'ü'")
	if n := until[*notification](conn); n.Payload != "\xfc" {
		t.Errorf("got %q", n.Payload)
	}
}

func TestListenStops(t *testing.T) {
	p := onTwo(t)
	conn := connect(t, p.DSN("ingest"))
	exec(t, conn, "LISTEN stops")
	p.Drain()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := conn.WaitForNotification(ctx)
	wantError(t, err, "57P01")
}

type notification = pgproto3.NotificationResponse

func query(sql string) pgproto3.FrontendMessage { return &pgproto3.Query{String: sql} }
