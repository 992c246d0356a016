package sqlscan

import (
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/transcript"
)

// TestRole has the ways to change the role that are known, texts that hide them, and texts that only look like them.
// The test of the same name under integration runs the same files on PostgreSQL.
func TestRole(t *testing.T) {
	const all = Role | OpaqueSetting | CannotLex
	for file, want := range map[string]Effects{"role.txt": Role, "opaque.txt": OpaqueSetting, "allowed.txt": 0} {
		for _, sql := range transcript.Texts(t, "testdata/"+file) {
			if got := Classify([]byte(sql)).Does & all; got != want {
				t.Errorf("%s: %s: %q", file, sql, got)
			}
		}
	}
	long := "/*" + strings.Repeat("x", 1<<20) + "*/ SET ROLE bob;"
	if got := Classify([]byte(long)); got.Does != Role {
		t.Errorf("behind a long comment: %q", got.Does)
	}
}
