package attack

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// superuser runs SQL on EPMT, past pgtier.
func superuser(t testing.TB, p *harness.Endpoint, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if err := p.Cluster.Exec(context.Background(), p.EPMT.Database, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// leftovers are what a session can leave in its server, and where the next one would meet it.
var leftovers = []struct{ name, leave, look, want string }{
	{"setting", "SET work_mem = '77kB'", "SHOW work_mem", "4MB"},
	{"setting of its own", "SET evil.setting = 'evil'", "SELECT coalesce(current_setting('evil.setting', true), '')", ""},
	{"search_path", "SET search_path = evil, public", "SHOW search_path", `"$user", public`},
	{"characteristics", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW transaction_read_only", "off"},
	{"timeouts", "SET statement_timeout = 10000", "SHOW statement_timeout", "0"},
	{"encoding", "SET client_encoding = 'SQL_ASCII'", "SHOW client_encoding", "UTF8"},
	{"role", "SET ROLE attack_other", "SELECT current_user", "epmt-rw"},
	{"prepared statement", "PREPARE evil AS SELECT 'evil'", "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql OR name = 'evil'", "0"},
	{"listen", "LISTEN evil", "SELECT count(*) FROM pg_listening_channels()", "0"},
	{"advisory lock", "SELECT pg_advisory_lock(42)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0"},
	{"temporary table", "CREATE TEMP TABLE jobs AS SELECT 'evil' AS jobid", "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()", "0"},
	{"temporary view over the catalogue", "CREATE TEMP VIEW pg_stat_activity AS SELECT 'evil' AS evil", "SELECT count(*) FROM information_schema.columns WHERE table_name = 'pg_stat_activity' AND column_name = 'evil'", "0"},
	{"temporary function", "CREATE FUNCTION pg_temp.evil() RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$", "SELECT count(*) FROM pg_proc WHERE proname = 'evil'", "0"},
	{"cursor", "DECLARE evil CURSOR WITH HOLD FOR SELECT 'evil'", "SELECT count(*) FROM pg_cursors", "0"},
	{"sequence", "SELECT nextval('processes_id_seq')", "SELECT lastval()", "error:55000"},
}

// TestNothingIsLeftForTheNextIdentity leaves state in plain sight and hidden in a DO block, by a client that ends in order,
// one that is cut, and one that goes on living.
func TestNothingIsLeftForTheNextIdentity(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	superuser(t, p, `GRANT TEMP ON DATABASE "EPMT" TO "epmt-rw"`, `CREATE ROLE attack_other`, `GRANT attack_other TO "epmt-rw"`)
	t.Cleanup(func() {
		superuser(t, p, `REVOKE TEMP ON DATABASE "EPMT" FROM "epmt-rw"`, `DROP ROLE attack_other`)
	})
	hidden := func(sql string) string {
		sql = strings.Replace(sql, "SELECT", "PERFORM", 1)
		if !strings.HasPrefix(sql, "PERFORM") {
			sql = fmt.Sprintf("EXECUTE %s", quote(strings.Replace(sql, "PERFORM", "SELECT", 1)))
		}
		return "DO $do$ BEGIN " + sql + "; END $do$"
	}
	for _, l := range leftovers {
		for _, way := range []struct {
			name string
			sql  string
		}{{"plain", l.leave}, {"hidden", hidden(l.leave)}} {
			for _, end := range []string{"terminate", "cut", "stay"} {
				t.Run(l.name+", "+way.name+", "+end, func(t *testing.T) {
					attacker := dial(t, p, "ingest~rw")
					got := attacker.ask(way.sql)
					if strings.Contains(got, "error:") {
						t.Logf("%s: %s", way.sql, got)
					}
					switch end {
					case "terminate":
						attacker.send(frame('X'))
					case "stay":
						if way.name == "plain" { // what pins the server is ended by the client itself
							attacker.ask("DISCARD ALL")
						}
					}
					if end != "stay" {
						_ = attacker.conn.Close()
					}
					victim := dial(t, p, "ops~rw")
					want := l.want
					if !strings.HasPrefix(want, "error:") {
						want = "row:" + want + " "
					}
					if got := victim.ask(l.look); !strings.Contains(got, want) {
						t.Errorf("%s\ngot  %s\nwant %s", l.look, got, want)
					}
				})
			}
		}
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
