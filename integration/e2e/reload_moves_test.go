package e2e

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// moved is a configuration that sends a tier somewhere else, and how to see from a session where it is.
type moved struct {
	options     harness.Options
	where       string // SQL
	before, now string // its answers
}

// checkMove reloads while one session of tier rw is in a transaction and another idle: the transaction stays where it is to
// its end, everything that begins after the reload is elsewhere, and nothing is left of the old connections.
func checkMove(t *testing.T, d *harness.Daemon, m moved) {
	t.Helper()
	idle, open := connect(t, d.DSN("ingest")), connect(t, d.DSN("ops~rw"))
	wantAnswer(t, idle, m.where, m.before)
	exec(t, open, "BEGIN")
	wantAnswer(t, open, m.where, m.before)
	wantAnswer(t, open, "INSERT INTO hosts (name) VALUES ('moved') RETURNING name", "moved")
	if !d.Reload(m.options) {
		t.Fatal("the reload was refused")
	}
	wantAnswer(t, idle, m.where, m.now)
	wantAnswer(t, connect(t, d.DSN("ingest")), m.where, m.now)
	wantAnswer(t, open, m.where, m.before)
	wantAnswer(t, open, "DELETE FROM hosts WHERE name = 'moved' RETURNING name", "moved")
	exec(t, open, "COMMIT")
	wantAnswer(t, open, m.where, m.now)
}

// TestReloadMovesToAnotherLogin: what begins after the reload runs as the tier's new login.
func TestReloadMovesToAnotherLogin(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{})
	next := *epmt
	next.RW.Name = "epmt-rw-next"
	create(t, cluster, epmt.Database, `CREATE ROLE "epmt-rw-next" LOGIN PASSWORD '`+next.RW.Password+`';
		GRANT CONNECT ON DATABASE "EPMT" TO "epmt-rw-next"; GRANT ALL ON hosts TO "epmt-rw-next"`)
	d := harness.Spawn(t, harness.Options{Cluster: cluster, EPMT: epmt})
	checkMove(t, d, moved{
		options: harness.Options{EPMT: &next},
		where:   "SELECT session_user", before: "epmt-rw", now: "epmt-rw-next",
	})
	harness.Eventually(t, "nothing is left of the old login", func() bool { return d.ServerSessions(t, "rw") == 0 })
	// What ended with the old login is not kept by it: it may be dropped, as people do.
	create(t, cluster, epmt.Database, `DROP OWNED BY "epmt-rw"`)
	wantAnswer(t, connect(t, d.DSN("ingest")), "SELECT session_user", "epmt-rw-next")
}

// TestReloadMovesToAnotherHost: what begins after the reload is on the new server.
func TestReloadMovesToAnotherHost(t *testing.T) {
	here, epmt := testpg.StartEPMT(t, pgtest.Options{})
	there, other := testpg.StartEPMT(t, pgtest.Options{})
	for mine, theirs := range map[pgtest.Account]pgtest.Account{epmt.RO: other.RO, epmt.RW: other.RW, epmt.Admin: other.Admin} {
		create(t, there, other.Database, fmt.Sprintf(`ALTER ROLE "%s" PASSWORD '%s'`, theirs.Name, mine.Password))
	}
	d := harness.Spawn(t, harness.Options{Cluster: here, EPMT: epmt})
	checkMove(t, d, moved{
		options: harness.Options{Cluster: there},
		where:   "SHOW port", before: fmt.Sprint(here.Port), now: fmt.Sprint(there.Port),
	})
	harness.Eventually(t, "nothing is left on the old server", func() bool { return d.ServerSessions(t, "rw") == 0 })
}

// TestReloadShrinksUnderLoad: a smaller size ends no transaction; connections go as these end, and what begins then waits for
// one that is left.
func TestReloadShrinksUnderLoad(t *testing.T) {
	d := harness.Spawn(t, harness.Options{Pools: map[string]string{"rw": "size = 3"}})
	conns := make([]*pgx.Conn, 3)
	for i := range conns {
		conns[i] = connect(t, d.DSN("ingest"))
		exec(t, conns[i], "BEGIN")
	}
	waits := connect(t, d.DSN("ops~rw"))
	if !d.Reload(harness.Options{Pools: map[string]string{"rw": "size = 1"}}) {
		t.Fatal("the reload was refused")
	}
	late := goOn(func() error { return execOnly(waits.PgConn(), "SELECT 1") })
	for i, conn := range conns {
		wantAnswer(t, conn, "SELECT 'goes on'", "goes on")
		exec(t, conn, "COMMIT")
		harness.Eventually(t, fmt.Sprintf("%d have given theirs back", i+1), func() bool { return d.ServerSessions(t, "rw") <= max(1, 2-i) })
	}
	if err := <-late; err != nil {
		t.Error(err)
	}
	pid := ask(t, conns[0], "SELECT pg_backend_pid()")
	for _, conn := range conns[1:] {
		wantAnswer(t, conn, "SELECT pg_backend_pid()", pid)
	}
}

// create runs SQL as the superuser.
func create(t testing.TB, c *pgtest.Cluster, database, sql string) {
	t.Helper()
	if err := c.Exec(deadline(t), database, sql); err != nil {
		t.Fatal(err)
	}
}
