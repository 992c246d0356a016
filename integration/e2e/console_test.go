package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// withConsole is the section that makes ops an administrator and alice an observer.
const withConsole = "[groups]\ndba = [\"ops\"]\n[console]\nadmins = [\"@dba\"]\nobservers = [\"alice\"]\n"

// consoleDSN is like DSN for the console.
func consoleDSN(p *harness.Endpoint, user string) string {
	name, _, _ := strings.Cut(user, "~")
	return p.DSNFor(url.UserPassword(user, name+"-demo"), "pgtier")
}

// table runs SHOW and returns each row by the names of its columns.
func table(t testing.TB, conn *pgx.Conn, sql string) []map[string]string {
	t.Helper()
	results, err := conn.PgConn().Exec(deadline(t), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows []map[string]string
	for _, values := range results[0].Rows {
		row := map[string]string{}
		for i, f := range results[0].FieldDescriptions {
			row[f.Name] = string(values[i])
		}
		rows = append(rows, row)
	}
	return rows
}

// rowsWith are those in which the columns have these values: "name=value".
func rowsWith(rows []map[string]string, want ...string) (found []map[string]string) {
	for _, row := range rows {
		all := true
		for _, w := range want {
			name, value, _ := strings.Cut(w, "=")
			all = all && row[name] == value
		}
		if all {
			found = append(found, row)
		}
	}
	return found
}

// TestConsoleAuthorisation: who may have the console has it; for everybody else everything is as without one.
func TestConsoleAuthorisation(t *testing.T) {
	strangers := []string{"ingest", "ingest~rw", "ingest~nonsense", "ingest~", "retired", "nobody", "nobody~rw"}
	answers := func(p *harness.Endpoint) (all []pgconn.PgError) {
		for _, user := range strangers {
			_, err := tryConnect(t, consoleDSN(p, user))
			all = append(all, *wantError(t, err, wantErrorOf(t, err)))
		}
		return all
	}
	without := harness.Start(t, harness.Options{})
	want := answers(without.Endpoint)
	without.Stop()
	p := harness.Start(t, harness.Options{More: withConsole}).Endpoint
	for i, got := range answers(p) {
		if got != want[i] {
			t.Errorf("%s: %+v, without a console %+v", strangers[i], got, want[i])
		}
	}
	_, err := tryConnect(t, strings.Replace(consoleDSN(p, "ops"), "ops-demo", "wrong", 1))
	wantError(t, err, "28P01")
	_, err = tryConnect(t, consoleDSN(p, "ops~rw"))
	wantError(t, err, "28000", "the console has no tiers", `Connect as "ops"`)
	_, err = tryConnect(t, strings.Replace(consoleDSN(p, "ops"), "/pgtier", "/PGTIER", 1))
	wantError(t, err, "3D000")

	admin, observer := connect(t, consoleDSN(p, "ops")), connect(t, strings.Replace(consoleDSN(p, "alice"), "/pgtier", "/pgbouncer", 1))
	exec(t, admin, "RECONNECT")
	for _, sql := range []string{"PAUSE", "RESUME", "KILL 1", "KILL IDENTITY ops", "RELOAD", "RECONNECT", "SHUTDOWN", "SHUTDOWN DRAIN"} {
		_, err := tryAsk(deadline(t), observer, sql)
		wantError(t, err, "42501", "permission denied")
	}
	if got := table(t, observer, "SHOW CLIENTS"); len(rowsWith(got, "state=console")) != 2 {
		t.Errorf("clients: %v", got)
	}
	_, err = tryAsk(deadline(t), admin, "RELOAD")
	wantError(t, err, "0A000")
	_, err = tryAsk(deadline(t), admin, "KILL 1000000")
	wantError(t, err, "42704", "SHOW CLIENTS")
	_, err = tryAsk(deadline(t), admin, "PAUSE epmt")
	wantError(t, err, "3D000", "case-sensitive")
	_, err = tryAsk(deadline(t), admin, "PAUSE EPMT/rx")
	wantError(t, err, "42704")
}

// TestConsoleShows: what it shows is so, in both protocols and both formats; what it does not know is an error and no more.
func TestConsoleShows(t *testing.T) {
	p := harness.Start(t, harness.Options{More: withConsole}).Endpoint
	conn := connect(t, p.DSN("ingest", "application_name=shown"))
	exec(t, conn, "BEGIN")
	admin := connect(t, consoleDSN(p, "ops"))
	for _, what := range []string{"clients", "Servers", "POOLS;", "DATABASES -- all", "identities", "stats", "config", "version", "help"} {
		simple := table(t, admin, "show "+what)
		rows, err := admin.Query(deadline(t), "SHOW "+what) // prepared, and numbers are binary
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(values) != len(simple) || len(simple) == 0 || len(values[0]) != len(simple[0]) {
			t.Errorf("%s: %d and %d rows, %v", what, len(simple), len(values), err)
		}
	}
	client := rowsWith(table(t, admin, "SHOW CLIENTS"), "identity=ingest", "tier=rw", "database=EPMT", "state=active",
		"transaction=open", "application_name=shown", "role=epmt-rw")
	if len(client) != 1 {
		t.Fatalf("clients: %v", table(t, admin, "SHOW CLIENTS"))
	}
	server := rowsWith(table(t, admin, "SHOW SERVERS"), "link="+client[0]["id"], "state=active", "user=epmt-rw")
	if len(server) != 1 || server[0]["remote_pid"] != ask(t, conn, "SELECT pg_backend_pid()") {
		t.Errorf("servers: %v", table(t, admin, "SHOW SERVERS"))
	}
	if got := rowsWith(table(t, admin, "SHOW POOLS"), "tier=rw", "cl_active=1", "sv_active=1", "cl_waiting=0", "paused=0"); len(got) != 1 {
		t.Errorf("pools: %v", table(t, admin, "SHOW POOLS"))
	}
	exec(t, conn, "COMMIT")
	if got := rowsWith(table(t, admin, "SHOW STATS"), "database=EPMT", "tier=rw", "total_sessions=1"); len(got) != 1 || got[0]["total_xact_count"] == "0" {
		t.Errorf("stats: %v", got)
	}
	for _, sql := range []string{"SELECT 1", "SHOW", "SHOW TABLES", "PAUSE a b", "KILL", "KILL x", "KILL IDENTITY", "SHOW $1", "'", "\x01",
		"SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default"} {
		_, err := tryAsk(deadline(t), admin, sql)
		wantError(t, err, "42601", "SHOW HELP lists the commands.")
	}
	if err := admin.Ping(deadline(t)); err != nil {
		t.Error(err)
	}
	if got := ask(t, admin, "BEGIN; SET x = 1; /* both */ SHOW VERSION; COMMIT; SHOW VERSION"); !strings.HasPrefix(got, "pgtier ") {
		t.Errorf("version %q", got)
	}
	for _, row := range table(t, admin, "SHOW CONFIG") {
		if strings.Contains(row["value"], "SCRAM") || strings.Contains(row["value"], "-demo") {
			t.Errorf("a secret: %v", row)
		}
	}
}

// TestConsoleInPsql: what people type.
func TestConsoleInPsql(t *testing.T) {
	p := harness.Start(t, harness.Options{More: withConsole}).Endpoint
	dsn := consoleDSN(p, "ops")
	psql(t, p, dsn, "PAUSE EPMT/ro", "SHOW DATABASES", "RESUME \"EPMT\"/'ro';", "SHOW VERSION").check(t, "EPMT|", "pgtier ")
	psql(t, p, dsn, `\d`).wantFailure(t, "42601", "SHOW HELP lists the commands.")
	psql(t, p, dsn, `\l`).wantFailure(t, "42601")
	psql(t, p, consoleDSN(p, "alice"), "PAUSE").wantFailure(t, "42501", "permission denied")
	psql(t, p, consoleDSN(p, "ingest"), "SHOW HELP").wantFailure(t, `database "pgtier" does not exist`)
}

// check fails unless the program has worked and printed these words.
func (r program) check(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if r.err != nil || !strings.Contains(r.stdout, w) {
			t.Errorf("got %q, %v\n%s\nwant %q in it", r.stdout, r.err, r.stderr, w)
		}
	}
}

// TestConsoleCountsAndEnds: console sessions count, are cancelled and killed as others are, and a drain ends them.
func TestConsoleCountsAndEnds(t *testing.T) {
	p := harness.Start(t, harness.Options{More: withConsole + "[limits]\nper_identity = 2\nconnections = 4"})
	one, two := connect(t, consoleDSN(p.Endpoint, "ops")), connect(t, consoleDSN(p.Endpoint, "ops"))
	_, err := tryConnect(t, consoleDSN(p.Endpoint, "ops"))
	wantError(t, err, "53300", `too many connections for "ops"`)
	_, err = tryConnect(t, p.DSN("ops"))
	wantError(t, err, "53300")

	id := rowsWith(table(t, one, "SHOW CLIENTS"), "identity=ops")[1]["id"]
	exec(t, one, "KILL "+id)
	_, err = tryAsk(deadline(t), two, "SHOW HELP")
	wantError(t, err, "57P01", "administrator")
	if got := ask(t, one, "SHOW VERSION"); got == "" {
		t.Error("the other one is disturbed")
	}
	p.Drain()
	err = one.PgConn().WaitForNotification(deadline(t))
	wantError(t, err, "57P01")
	p.Stop()
}
