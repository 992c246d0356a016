package roles

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every code that a finding can have is in the documentation.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("check*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`c\.add\([^"\n]*"([a-z-]+)"|c\.grants\("([a-z-]+)"|f\.Severity, f\.Code = Error, "([a-z-]+)"|(?m:^)\t\t\{"([a-z]+)", "`)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(text), -1) {
			found++
			if word := strings.Join(m[1:], ""); !strings.Contains(string(doc), "`"+word+"`") {
				t.Errorf("%s: %q is not in docs/doctor.md", file, word)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d codes found: the pattern is out of date", found)
	}
}
