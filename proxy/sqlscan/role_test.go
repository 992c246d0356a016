package sqlscan

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// readTexts reads a file of testdata: one text on each line, a Go string if it starts with a double quote.
func readTexts(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '"' {
			if line, err = strconv.Unquote(line); err != nil {
				t.Fatal(err)
			}
		}
		texts = append(texts, line)
	}
	return texts
}

// TestRole has the ways to change the role that are known, texts that hide them, and texts that only look like them.
// The test of the same name under integration runs the same files on PostgreSQL.
func TestRole(t *testing.T) {
	const all = Role | OpaqueSetting | CannotLex
	for file, want := range map[string]Effects{"role.txt": Role, "opaque.txt": OpaqueSetting, "allowed.txt": 0} {
		for _, sql := range readTexts(t, file) {
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
