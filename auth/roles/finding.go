package roles

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgtier/pgtier/config"
)

// Severity says how bad a finding is.
type Severity string

// An error breaks the wall or keeps sessions from working. A warning is a hole in something smaller, or trouble to come. A
// note is worth knowing and needs no action.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is one thing that is not as it should be. Its texts are one line each, and printable whatever names are in them.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // what kind of finding: a stable word
	Database string   `json:"database"`
	Tier     string   `json:"tier"`
	At       string   `json:"at"`             // where the configuration has the tier, "file:line:col"
	What     string   `json:"what"`           // what is there
	Why      string   `json:"why"`            // why that matters
	Fix      []string `json:"fix,omitempty"`  // SQL statements in order; none: there is no SQL for it
	As       string   `json:"as,omitempty"`   // who can run Fix, and where
	Hint     string   `json:"hint,omitempty"` // what else to do
}

// Findings is a report, in the order of databases and tiers, worst first within each.
type Findings []Finding

// Bad reports whether there is an error or a warning.
func (f Findings) Bad() bool { return f.count(Error)+f.count(Warning) > 0 }

func (f Findings) count(s Severity) (n int) {
	for _, x := range f {
		if x.Severity == s {
			n++
		}
	}
	return n
}

// WriteText writes the report for people: one line for each finding, its fix indented below, and a line with the counts.
func (f Findings) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, x := range f {
		fmt.Fprintf(&b, "%-7s %s/%s %s: %s: %s\n", x.Severity, show(x.Database), x.Tier, x.Code, x.What, x.Why)
		if x.Hint != "" {
			fmt.Fprintf(&b, "    %s\n", x.Hint)
		}
		if len(x.Fix) > 0 {
			fmt.Fprintf(&b, "    as %s:\n", x.As)
		}
		for _, sql := range x.Fix {
			fmt.Fprintf(&b, "        %s\n", sql)
		}
	}
	var counts []string
	for _, s := range []Severity{Error, Warning, Note} {
		count := fmt.Sprintf("%d %ss", f.count(s), s)
		if f.count(s) == 1 {
			count = "1 " + string(s)
		}
		counts = append(counts, count)
	}
	b.WriteString(strings.Join(counts, ", ") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// rank puts the worst first.
func rank(s Severity) int {
	switch s {
	case Error:
		return 0
	case Warning:
		return 1
	}
	return 2
}

// place is the part of a finding that says what it is about.
func place(t *config.Tier) Finding {
	return Finding{Database: t.Database.Name, Tier: t.Name, At: t.Pos.String()}
}
