package attack

import (
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/harness"
)

// oneRW has one server connection for the tier rw, so that whoever comes next gets the server that an attack has touched.
func oneRW() harness.Options { return harness.Options{Pools: map[string]string{"rw": "size = 1"}} }

// TestNextClientsGetTheirOwnAnswers sends what is meant to leave pgtier with a wrong count of the answers outstanding, and
// lets two more clients, one of the attacker's identity and one of another, wait for the server behind it.
func TestNextClientsGetTheirOwnAnswers(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	const slow = "SELECT pg_sleep(0.1); " // so that all that follows has arrived before the server looks at it
	bad := copyData("1\t2\t3\t4\t5\n")
	padding := copyData(strings.Repeat("x", 200_000)) // so that the server is still busy when pgtier has seen the error
	for _, a := range []struct {
		name   string
		writes [][]byte
	}{
		{"Sync behind a failed copy", [][]byte{query(slow + "COPY hosts FROM STDIN"), bad, padding, sync}},
		{"three Syncs around a failed copy", [][]byte{query(slow + "COPY hosts FROM STDIN"), sync, bad, padding, sync, padding, sync}},
		{"Query behind a failed copy", [][]byte{query(slow + "COPY hosts FROM STDIN"), bad, padding, query("SELECT 'evil'")}},
		{"CopyDone and Query behind a failed copy", [][]byte{query(slow + "COPY hosts FROM STDIN"), bad, padding, copyDone, query("SELECT 'evil'"), copyDone, sync}},
		{"extended copy that fails", [][]byte{parse("", "COPY hosts FROM STDIN"), bind("", ""), execute(""), sync, bad, padding, sync, copyDone, sync}},
		{"extended copy that fails, without Sync", [][]byte{parse("", "COPY hosts FROM STDIN"), bind("", ""), execute(""), bad, padding, copyDone, query("SELECT 'evil'")}},
		{"two copies in one query, ended thrice", [][]byte{query(slow + "COPY hosts FROM STDIN; COPY users FROM STDIN"), copyDone, sync, copyDone, sync, copyDone, sync}},
		{"CopyDone before, between and behind", [][]byte{copyDone, query(slow), copyDone, query("COPY hosts FROM STDIN"), copyDone, copyDone, sync, copyDone}},
		{"CopyFail twice", [][]byte{query(slow + "COPY hosts FROM STDIN"), frame('f', "no\x00"), frame('f', "no\x00"), sync, query("SELECT 'evil'")}},
		{"FunctionCall in a copy", [][]byte{query(slow + "COPY hosts FROM STDIN"), frame('F', "\x00\x00\x05\x75\x00\x00\x00\x01\x00\x00\x00\x02-5\x00\x00")}},
		{"Query in a batch that fails", [][]byte{parse("", "nonsense"), query("SELECT 'evil'"), query("SELECT 'evil'"), sync}},
		{"FunctionCall in a batch that fails", [][]byte{parse("", "nonsense"), frame('F', "\x00\x00\x05\x75\x00\x00\x00\x01\x00\x00\x00\x02-5\x00\x00"), sync}},
		{"FunctionCall in a batch", [][]byte{parse("", "SELECT 1"), bind("", ""), execute(""), frame('F', "\x00\x00\x05\x75\x00\x00\x00\x01\x00\x00\x00\x02-5\x00\x00"), sync}},
		{"Query in a batch", [][]byte{parse("", "SELECT 1"), bind("", ""), execute(""), query("SELECT 2"), execute(""), sync}},
		{"COMMIT and ROLLBACK in a batch", [][]byte{parse("", "SELECT 1"), bind("", ""), execute(""), query("ROLLBACK"), query("COMMIT"), query("BEGIN"), sync, sync, query("COMMIT")}},
		{"Flush and Sync", [][]byte{flush, sync, flush, flush, sync, sync, flush}},
		{"empty names and queries", [][]byte{parse("", ""), bind("", ""), execute(""), closeStmt(""), query(""), bind("", ""), sync}},
		{"names twice, closed and unknown", [][]byte{parse("a", "SELECT 1"), parse("a", "SELECT 2"), closeStmt("a"), closeStmt("a"), bind("", "a"), sync, closeStmt("a"), sync, parse("a", "x"), sync}},
		{"a pipeline with DISCARD ALL and DEALLOCATE ALL", [][]byte{parse("a", "SELECT 1"), sync, query("DISCARD ALL"), parse("a", "SELECT 1"), bind("", "a"), sync, query("DEALLOCATE ALL"), parse("a", "SELECT 1"), bind("", "a"), execute(""), sync}},
		{"DEALLOCATE of a protocol name in a batch that fails", [][]byte{parse("a", "SELECT 1"), sync, query("DEALLOCATE a; SELECT 1/0"), query("DEALLOCATE a"), parse("", "DEALLOCATE a"), bind("", ""), execute(""), sync}},
		{"a deferred error at Sync", [][]byte{parse("", "DO $$ BEGIN RAISE EXCEPTION 'x'; END $$"), bind("", ""), execute(""), parse("b", "SELECT 1"), sync, bind("", "b"), execute(""), sync}},
		{"statement_timeout for pgtier's own statements", [][]byte{query("SET statement_timeout = 1"), query("SET lock_timeout = 1")}},
		{"statement_timeout inside DO", [][]byte{query("DO $$ BEGIN PERFORM set_config('statement_timeout', '1', false); END $$")}},
		{"long DISCARD ALL", [][]byte{query("CREATE TEMP TABLE t AS SELECT 1"), query("SET statement_timeout = 1")}},
		{"a transaction left open", [][]byte{query("BEGIN"), query("SELECT 1/0")}},
		{"a copy left open", [][]byte{query("COPY hosts FROM STDIN")}},
		{"a copy left half a frame open", [][]byte{query("COPY hosts FROM STDIN"), padding[:1000]}},
		{"half a query", [][]byte{query("SELECT " + strings.Repeat("x", 100_000))[:70_000]}},
		{"half a header", [][]byte{query("SELECT 1"), {'Q', 0, 0}}},
		{"a header that promises a gigabyte", [][]byte{query("SELECT 1"), {'Q', 0x3f, 0xff, 0xff, 0xff}}},
		{"half a Parse behind a pipeline", [][]byte{parse("", "SELECT pg_sleep(0.1)"), bind("", ""), execute(""), parse("long", strings.Repeat("x", 100_000))[:50_000]}},
		{"a batch without Sync", [][]byte{parse("", "SELECT pg_sleep(0.1)"), bind("", ""), execute("")}},
		{"a pipeline of queries", [][]byte{query("SELECT pg_sleep(0.1)"), query("SELECT 'evil'"), query("SELECT 'evil'"), query("SELECT 'evil'")}},
	} {
		for _, leave := range []bool{false, true} {
			t.Run(a.name+map[bool]string{true: ", and leave"}[leave], func(t *testing.T) {
				attacker := dial(t, p, "ingest~rw")
				clients := []*client{dial(t, p, "ops~rw"), dial(t, p, "ingest~rw"), dial(t, p, "ops~rw")}
				attacker.send(a.writes...)
				for i, c := range clients {
					c.send(query("SELECT 'client " + string(rune('0'+i)) + "', current_setting('statement_timeout')"))
				}
				if leave {
					_ = attacker.conn.Close()
				} else {
					attacker.linger()
				}
				for i, c := range clients {
					want := "columns row:client " + string(rune('0'+i)) + ",0 SELECT 1 ready:I"
					got := c.answers(1)
					if i == 1 && strings.HasSuffix(a.name, "inside DO") && strings.Contains(got, "error:57014") {
						continue // its own identity's timeout of a millisecond ended pgtier's RESET of it: an error, but nobody else's
					}
					if got != want {
						t.Errorf("client %d got  %s\nwant %s", i, got, want)
					}
				}
				for _, c := range clients {
					c.silent(20 * time.Millisecond)
				}
			})
		}
	}
}
