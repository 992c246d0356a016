package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBehaviours: every test that docs/behaviours.md names is there, and no behaviour is without one.
func TestBehaviours(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/behaviours.md"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`|`([a-z]+(?:/[a-z]+)*/testdata/[a-z]+\\.txt)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| |") {
			continue
		}
		rows++
		found := name.FindAllStringSubmatch(line, -1)
		if len(found) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, f := range found {
			if f[3] != "" {
				if _, err := os.Stat(filepath.Join(root, f[3])); err != nil {
					t.Error(err)
				}
			} else if !declares(t, filepath.Join(root, f[1]), f[2]) {
				t.Errorf("there is no %s in %s", f[2], f[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("%d behaviours: the document is not read as it should be", rows)
	}
}

// declares reports whether a package's tests have the function.
func declares(t *testing.T, dir, function string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(code), "\nfunc "+function+"(") {
			return true
		}
	}
	return false
}
