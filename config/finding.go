package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// String is "file:line:col", or the file alone when p is not in it.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Short is "file:line", for sentences that name a rule rather than a mistake.
func (p Pos) Short() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Finding is one thing that is wrong with a configuration. Text never contains a secret.
type Finding struct {
	Pos  Pos
	Text string
}

// String is one line for a person: "file:line:col: text".
func (f Finding) String() string { return f.Pos.String() + ": " + f.Text }

// Findings is everything that is wrong, in the order of the file. Empty means that the configuration is usable.
type Findings []Finding

// Error is one line per finding.
func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns f as an error, nil when f is empty.
func (f Findings) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// sorted returns f in the order of the file, each line once: two checks may come to the same conclusion.
func (f Findings) sorted() Findings {
	slices.SortStableFunc(f, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return slices.Compact(f)
}
