package attack

import (
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestStatementsOfOthers reaches for the statements of other clients on the one server connection: one of the same identity
// and one of another.
func TestStatementsOfOthers(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	for _, attackerIs := range []string{"ingest~rw", "ops~rw"} {
		for _, a := range []struct {
			name   string
			writes [][]byte
			want   string
			others bool // among clients of one identity it is no attack: they have the same rights, and SQL sees the server's names
		}{
			{"unnamed", [][]byte{bind("", ""), execute(""), sync}, "error:26000 ready:I", false},
			{"unnamed, described", [][]byte{describeStmt(""), sync}, "error:26000 ready:I", false},
			{"unnamed, after an own one failed", [][]byte{parse("", "nonsense"), sync, bind("", ""), execute(""), sync}, "error:42601 ready:I error:26000 ready:I", false},
			{"unnamed, after closing", [][]byte{closeStmt(""), bind("", ""), execute(""), sync}, "closed error:26000 ready:I", false},
			{"by its name", [][]byte{bind("", "secret"), execute(""), sync}, "error:26000 ready:I", false},
			{"by its shared name", [][]byte{bind("", "pgtier_1"), execute(""), sync, describeStmt("pgtier_1"), sync, bind("", "pgtier_2"), sync}, "error:26000 ready:I error:26000 ready:I error:26000 ready:I", false},
			{"by SQL", [][]byte{query("EXECUTE pgtier_1"), query("EXECUTE pgtier_2"), query("EXECUTE secret")}, "error:26000 ready:I error:26000 ready:I error:26000 ready:I", true},
			{"by SQL in a prepared statement", [][]byte{parse("", "EXECUTE pgtier_1"), bind("", ""), execute(""), sync}, "parsed bound error:26000 ready:I", true},
			{"by SQL in DO", [][]byte{query("DO $$ BEGIN EXECUTE 'EXECUTE pgtier_1'; END $$")}, "error:26000 ready:I", true},
			{"the text of it", [][]byte{query("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%other''s%' AND statement NOT LIKE '%pg_prepared_statements%'")}, "columns row:0 SELECT 1 ready:I", false},
			{"deallocated by SQL", [][]byte{query("DEALLOCATE pgtier_1"), query("DEALLOCATE ALL")}, "error:26000 ready:I DEALLOCATE ALL ready:I", true},
		} {
			if a.others && attackerIs == "ingest~rw" {
				continue
			}
			t.Run(attackerIs+" "+a.name, func(t *testing.T) {
				victim := dial(t, p, "ingest~rw")
				victim.send(parse("secret", "SELECT 'other''s'"), bind("", "secret"), execute(""), sync, parse("", "SELECT 'other''s unnamed'"), sync)
				if got := victim.answers(2); !strings.HasSuffix(got, "parsed ready:I") {
					t.Fatal(got)
				}
				attacker := dial(t, p, attackerIs)
				attacker.send(a.writes...)
				if got := attacker.answers(strings.Count(a.want, "ready")); got != a.want {
					t.Errorf("got  %s\nwant %s", got, a.want)
				}
				attacker.send(frame('X'))
				victim.send(bind("", "secret"), execute(""), sync, bind("", ""), execute(""), sync)
				const want = "bound row:other's SELECT 1 ready:I bound row:other's unnamed SELECT 1 ready:I"
				if got := victim.answers(2); got != want {
					t.Errorf("afterwards the victim got %s", got)
				}
			})
		}
	}
}
