package sqlscan_test

import (
	"fmt"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// The relay asks for the summary of every text and looks at single statements only when the summary is interesting.
func Example() {
	text := []byte(`SET search_path = app; SELECT pg_advisory_lock(1); SHOW pgtier.tier`)
	sum := sqlscan.Classify(text)
	fmt.Println(sum.Count, sum.First, sum.Does&sqlscan.Pins)
	if sum.Kinds.Any(sqlscan.KindsOf(sqlscan.Set, sqlscan.Show)) {
		for r := sqlscan.NewReader(text); r.Next(); {
			st := r.Statement()
			settings, _ := st.Settings(nil)
			for _, x := range settings {
				fmt.Printf("%s\n", x.AppendSet(nil))
			}
			if st.Kind == sqlscan.Show && st.NameIs("pgtier.tier") {
				fmt.Println("answered by the proxy")
			}
		}
	}
	// Output:
	// 3 set advisory lock
	// SET "search_path" = app
	// answered by the proxy
}
