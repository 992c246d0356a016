package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestMoreTextsThanAreKept: a client that prepares more than pgtier remembers keeps its server and all of its statements;
// another client, and the same one after DISCARD ALL, are served by any.
func TestMoreTextsThanAreKept(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 2"}}).Endpoint
	greedy := connect(t, p.DSN("ingest"))
	const n = 25
	for i := range n {
		sql := fmt.Sprintf("SELECT %d /* %s */", i, strings.Repeat("x", 1<<20))
		if _, err := greedy.PgConn().Prepare(deadline(t), fmt.Sprintf("s%d", i), sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	other := connect(t, p.DSN("ingest"))
	for i := range n {
		wantAnswer(t, other, "SELECT 1", "1")
		r := greedy.PgConn().ExecPrepared(deadline(t), fmt.Sprintf("s%d", i), nil, nil, nil).Read()
		if r.Err != nil || string(r.Rows[0][0]) != fmt.Sprint(i) {
			t.Fatalf("s%d: %v, %v", i, r.Rows, r.Err)
		}
	}
	if _, err := greedy.PgConn().Exec(deadline(t), "DISCARD ALL").ReadAll(); err != nil {
		t.Fatal(err)
	}
	r := greedy.PgConn().ExecPrepared(deadline(t), "s0", nil, nil, nil).Read()
	wantError(t, r.Err, "26000")
}
