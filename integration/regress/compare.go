package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// compare prints, for each run, how many tests printed the same as in the direct run, and which did not. Their differences
// are in the output directory. different tells whether a test that prints the same twice directly differs in the run
// "session": where servers are used again, some have to.
func compare(o options) (different bool, err error) {
	const direct, again = "direct", "again"
	if !slices.Contains(o.runs, direct) {
		return false, nil
	}
	tests, err := filepath.Glob(filepath.Join(o.out, direct, "*.out"))
	if err != nil {
		return false, err
	}
	var unstable []string
	for _, name := range o.runs {
		if name == direct {
			continue
		}
		var differing []string
		for _, path := range tests {
			test := strings.TrimSuffix(filepath.Base(path), ".out")
			same, err := compareTest(o, test, direct, name)
			if err != nil {
				return false, err
			}
			if !same {
				differing = append(differing, test)
			}
		}
		if name == again {
			unstable = differing
		}
		fmt.Printf("%-12s %d of %d identical to direct; different: %s\n", name, len(tests)-len(differing), len(tests),
			orNone(differing))
		if name == "session" {
			own := slices.DeleteFunc(slices.Clone(differing), func(t string) bool { return slices.Contains(unstable, t) })
			different = len(own) > 0
		}
	}
	return different, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

// compareTest compares what a test printed in two runs, and writes the difference to a file when there is one.
func compareTest(o options, test, a, b string) (same bool, err error) {
	file := func(name string) string { return filepath.Join(o.out, name, test+".out") }
	one, err := os.ReadFile(file(a))
	if err != nil {
		return false, err
	}
	other, err := os.ReadFile(file(b))
	if err == nil && bytes.Equal(one, other) {
		return true, nil
	}
	if err != nil {
		return false, nil // it did not run there
	}
	out, _ := exec.Command("diff", "-U3", file(a), file(b)).Output() // exits with 1 when they differ
	return false, os.WriteFile(filepath.Join(o.out, b, test+".diff"), out, 0o644)
}
