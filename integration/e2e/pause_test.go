package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// goOn runs fn in a goroutine and returns where its error comes.
func goOn(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return done
}

// becomes waits until SHOW what has a row with these values.
func becomes(t testing.TB, admin *pgx.Conn, what string, values ...string) {
	t.Helper()
	harness.Eventually(t, what+" "+strings.Join(values, " "), func() bool {
		return len(rowsWith(table(t, admin, "SHOW "+what), values...)) > 0
	})
}

func command(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// TestPauseResumeRoundsLoseNothing: clients work through twenty rounds of PAUSE and RESUME, in one of which PostgreSQL is
// restarted, and nobody notices.
func TestPauseResumeRoundsLoseNothing(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{})
	p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, More: withConsole, Pools: map[string]string{"rw": "size = 3"}}).Endpoint
	owner := connect(t, p.DSN("migrate"))
	exec(t, owner, "CREATE TABLE rounds (client int, n int, PRIMARY KEY (client, n))")
	closeConn(owner) // in session mode: a pause would wait for it
	admin := connect(t, consoleDSN(p, "ops"))
	const clients, rounds, restart = 8, 20, 7
	var stop atomic.Bool
	var wrote [clients]int
	var work sync.WaitGroup
	for i := range clients {
		conn := connect(t, p.DSN("ingest"))
		work.Go(func() {
			for !stop.Load() {
				if _, err := conn.Exec(deadline(t), "INSERT INTO rounds VALUES ($1, $2)", i, wrote[i]); err != nil {
					t.Errorf("client %d, row %d: %v", i, wrote[i], err)
					return
				}
				wrote[i]++
			}
		})
	}
	for round := range rounds {
		target := []string{"", " EPMT", " EPMT/rw"}[round%3]
		if round == restart {
			target = ""
		}
		exec(t, admin, "PAUSE"+target)
		if got := rowsWith(table(t, admin, "SHOW POOLS"), "tier=rw", "paused=1", "sv_active=0", "sv_idle=0", "sv_login=0"); len(got) != 1 {
			t.Fatalf("paused: %v", table(t, admin, "SHOW POOLS"))
		}
		becomes(t, admin, "POOLS", "tier=rw", fmt.Sprintf("cl_waiting=%d", clients))
		if round == restart {
			if err := cluster.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, admin, "RESUME"+target)
		becomes(t, admin, "POOLS", "tier=rw", "paused=0")
	}
	stop.Store(true)
	work.Wait()
	for i, n := range wrote {
		if have := ask(t, connect(t, p.DSN("alice")), fmt.Sprintf("SELECT count(*) FROM rounds WHERE client = %d", i)); have != fmt.Sprint(n) {
			t.Errorf("client %d wrote %d rows, %s are there", i, n, have)
		}
	}
}

// TestPauseWaitsAndIsTakenBack: a PAUSE waits for what is in use, and one that does not come to its end leaves nothing behind.
func TestPauseWaitsAndIsTakenBack(t *testing.T) {
	p := harness.Start(t, harness.Options{More: withConsole + "[timeouts]\nquery_wait = \"300ms\"\nquery_wait_notify = \"100ms\""}).Endpoint
	admin, other := connect(t, consoleDSN(p, "ops")), connect(t, consoleDSN(p, "ops"))
	busy, client := connect(t, p.DSN("ingest")), connect(t, p.DSN("ops~rw"))
	exec(t, busy, "BEGIN")

	done := goOn(func() error { return command(context.Background(), admin, "PAUSE EPMT/rw") })
	becomes(t, other, "DATABASES", "tier=rw", "paused=1")
	wantAnswer(t, busy, "SELECT 'goes on'", "goes on")
	waits := goOn(func() error { return command(context.Background(), client, "SELECT pg_sleep(0)") })
	becomes(t, other, "CLIENTS", "identity=ops", "state=waiting")
	if err := admin.PgConn().CancelRequest(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-done, "57014")
	becomes(t, other, "DATABASES", "tier=rw", "paused=0")
	if err := <-waits; err != nil {
		t.Errorf("after a pause that was taken back: %v", err)
	}

	// One whose client goes away; in the extended protocol, with a Sync behind it.
	gone, leave := context.WithCancel(context.Background())
	done = goOn(func() error { _, err := admin.Exec(gone, "PAUSE", pgx.QueryExecModeExec); return err })
	becomes(t, other, "DATABASES", "tier=ro", "paused=1")
	_ = admin.PgConn().Conn().Close()
	leave()
	if <-done == nil {
		t.Error("the pause has answered")
	}
	becomes(t, other, "DATABASES", "tier=ro", "paused=0")

	// query_wait does not run while a pause lasts.
	exec(t, busy, "COMMIT")
	exec(t, other, "PAUSE EPMT/rw")
	waits = goOn(func() error { return command(context.Background(), client, "SELECT 1") })
	harness.Eventually(t, "it has waited for longer than query_wait", func() bool {
		rows := rowsWith(table(t, other, "SHOW CLIENTS"), "identity=ops", "state=waiting")
		return len(rows) == 1 && rows[0]["wait"] != "0"
	})
	exec(t, other, "RESUME")
	if err := <-waits; err != nil {
		t.Errorf("waited through a pause: %v", err)
	}
}

// TestKillOneClient: whatever the client is doing, it is ended at once, and nobody else is.
func TestKillOneClient(t *testing.T) {
	p := harness.Start(t, harness.Options{More: withConsole, Pools: map[string]string{"rw": "size = 2", "ro": "size = 1"}}).Endpoint
	admin := connect(t, consoleDSN(p, "ops"))
	bystander := connect(t, p.DSN("ingest"))
	exec(t, bystander, "BEGIN")
	for _, c := range []struct {
		name, user, state string
		prepare           string
		run               func(*pgx.Conn) error
	}{
		{"idle", "ingest", "idle", "", nil},
		{"in a transaction", "ingest", "active", "BEGIN; LOCK TABLE hosts IN ACCESS EXCLUSIVE MODE", nil},
		{"running a query", "ingest", "active", "", func(c *pgx.Conn) error { return command(context.Background(), c, "SELECT pg_sleep(100)") }},
		{"in COPY", "ingest", "active", "", func(c *pgx.Conn) error {
			never, w := io.Pipe()
			defer w.Close()
			_, err := c.PgConn().CopyFrom(context.Background(), never, "COPY hosts (name) FROM STDIN")
			return err
		}},
		{"waiting for a server", "alice", "waiting", "", func(c *pgx.Conn) error { return command(context.Background(), c, "SELECT 1") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.state == "waiting" {
				holder := connect(t, p.DSN("ops~ro"))
				exec(t, holder, "BEGIN")
			}
			conn := connect(t, p.DSN(c.user, "application_name=victim"))
			if c.prepare != "" {
				exec(t, conn, c.prepare)
			}
			var result <-chan error
			if c.run != nil {
				result = goOn(func() error { return c.run(conn) })
			}
			becomes(t, admin, "CLIENTS", "application_name=victim", "state="+c.state)
			id := rowsWith(table(t, admin, "SHOW CLIENTS"), "application_name=victim")[0]["id"]
			exec(t, admin, "KILL "+id)
			if c.run == nil {
				result = goOn(func() error { return conn.PgConn().WaitForNotification(deadline(t)) })
			}
			e := wantError(t, <-result, "57P01", "administrator")
			if !strings.Contains(e.Detail, "KILL") {
				t.Errorf("detail %q", e.Detail)
			}
			wantAnswer(t, bystander, "SELECT 'undisturbed'", "undisturbed")
			becomes(t, admin, "POOLS", "tier=rw", "sv_active=1") // the bystander's: the victim's has been cleaned or closed
		})
	}
	again := connect(t, p.DSN("ingest"))
	wantAnswer(t, again, "SELECT 'works'", "works")
	if got := command(deadline(t), admin, "KILL IDENTITY ingest"); got != nil {
		t.Error(got)
	}
	for _, conn := range []*pgx.Conn{again, bystander} {
		_, err := tryAsk(deadline(t), conn, "SELECT 1")
		wantError(t, err, "57P01")
	}
}
