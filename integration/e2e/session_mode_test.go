package e2e

import (
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// leavesTraces does what DISCARD ALL does not undo: it makes the schema for temporary tables, and the name of a parameter
// known. foundTraces tells which of that is there.
const (
	leavesTraces = "CREATE TEMP TABLE t (); SET app.key = 'canary'; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
	foundTraces  = "SELECT concat_ws(' ', pg_my_temp_schema() <> 0, current_setting('app.key', true) IS NOT NULL, current_setting('transaction_read_only'))"
)

// TestSessionModeIsNew: in session mode a client has a server connection that nobody has had before, though the pool has
// but one. With reuse it is an earlier client's, as well as DISCARD ALL can clean it.
func TestSessionModeIsNew(t *testing.T) {
	for _, c := range []struct {
		name, pool string
		same       bool
		found      string
	}{
		{"by default", `size = 1, mode = "session"`, false, "f f off"},
		{"reuse", `size = 1, mode = "session", reuse = true`, true, "t t off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := harness.Start(t, harness.Options{Pools: map[string]string{"admin": c.pool}}).Endpoint
			first := connect(t, p.DSN("migrate"))
			pid := ask(t, first, "SELECT pg_backend_pid()")
			exec(t, first, leavesTraces)
			closeConn(first)
			second := connect(t, p.DSN("migrate"))
			wantAnswer(t, second, foundTraces, c.found)
			if again := ask(t, second, "SELECT pg_backend_pid()"); (again == pid) != c.same {
				t.Errorf("the first client had server %s, the second %s", pid, again)
			}
		})
	}
}
