package attack

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestPipelineWithoutSync sends more requests ahead of a Sync than pgtier keeps account of, most of which it answers itself:
// the server says nothing before it has been asked to, and pgtier reads nothing before the server has answered.
func TestPipelineWithoutSync(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	c := dial(t, p, "ingest~rw")
	const n = 40_000
	sent := make(chan error, 1)
	go func() {
		_, err := c.conn.Write(append(bytes.Repeat(append(parse("x", "SELECT 1"), closeStmt("x")...), n), sync...))
		sent <- err
	}()
	parsed, closed := 0, 0
	for ready := false; !ready; {
		m, err := c.r.Receive()
		if err != nil {
			t.Fatalf("after %d ParseComplete and %d CloseComplete: %v", parsed, closed, err)
		}
		switch m.(type) {
		case *pgproto3.ParseComplete:
			parsed++
		case *pgproto3.CloseComplete:
			closed++
		case *pgproto3.ReadyForQuery:
			ready = true
		}
	}
	if err := <-sent; err != nil || parsed != n || closed != n {
		t.Errorf("%d ParseComplete and %d CloseComplete, %v; want %d of both", parsed, closed, err, n)
	}
}
