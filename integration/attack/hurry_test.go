package attack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestNothingRunsWithOthersSettings: a client leaves so many settings and so little time behind that pgtier's own statement
// cannot undo them. What the next client of its identity sends must not run before that has worked.
func TestNothingRunsWithOthersSettings(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "SET many.n%d = %d;", i, i)
	}
	for range 3 {
		first, second := dial(t, p, "ingest~rw"), dial(t, p, "ingest~rw")
		first.ask(many.String() + "SET search_path = evil")
		first.ask("SET statement_timeout = 5")
		first.send(frame('X')) // should pgtier have pinned the server, it is free now
		if got := second.ask("SELECT current_setting('search_path') || current_setting('statement_timeout')"); got != `columns row:"$user", public0 SELECT 1 ready:I` {
			t.Errorf("the second client got %s", got)
		}
	}
}
