package transcript

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Texts reads a file with one text on each line, a Go string if it begins with a double quote. Empty lines and those that
// begin with # are no texts.
func Texts(t testing.TB, file string) (texts []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '"' {
			if line, err = strconv.Unquote(line); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		texts = append(texts, line)
	}
	return texts
}
