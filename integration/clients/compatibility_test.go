package clients

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// seen is what one program printed: a row of the table in docs/compatibility.md.
type seen struct {
	client, version string
	behaviours      []string
}

var rows []seen

// note keeps what a program printed. It reports whether that was complete.
func note(output string) bool {
	var s seen
	for line := range strings.Lines(output) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "client":
			s.client, s.version, _ = strings.Cut(rest, " ")
		case "ok":
			s.behaviours = append(s.behaviours, rest)
		}
	}
	rows = append(rows, s)
	return s.client != "" && len(s.behaviours) > 0
}

// The table stands between these lines of the document; the rest belongs to others.
const (
	document = "../../docs/compatibility.md"
	opening  = "<!-- clients: written by make compatibility -->\n"
	closing  = "<!-- clients: end -->\n"
	// preface begins the document when there is none.
	preface = "# Compatibility\n\n"
)

// writeCompatibility writes the table and returns the exit code of the test binary.
func writeCompatibility() int {
	if err := rewrite(); err != nil {
		fmt.Fprintln(os.Stderr, "docs/compatibility.md:", err)
		return 1
	}
	return 0
}

func rewrite() error {
	if len(rows) < 8 {
		return fmt.Errorf("not written: only %d clients have run; see %s", len(rows), install)
	}
	old, err := os.ReadFile(document)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte(preface), nil
	}
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), opening)
	_, after, ended := strings.Cut(rest, closing)
	if !found || !ended {
		// The first time: behind the title, before what others have written.
		if before, after, found = strings.Cut(string(old), "\n\n"); !found {
			return errors.New("has no title followed by an empty line")
		}
		before, after = before+"\n\n", "\n"+after
	}
	return os.WriteFile(document, []byte(before+opening+table()+closing+after), 0o644)
}

func table() string {
	var b strings.Builder
	b.WriteString("## Clients that the tests drive\n\n" +
		"Each client runs a program of its own against a pgtier with two server connections for each of the tiers ro and rw\n" +
		"(transaction mode), and admin in session mode. psql, pgbench and pgx are tested at length in `integration/e2e`.\n\n" +
		"| client | version | result | behaviours seen |\n|---|---|---|---|\n")
	slices.SortFunc(rows, func(a, b seen) int { return strings.Compare(strings.ToLower(a.client), strings.ToLower(b.client)) })
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | pass | %s |\n", r.client, r.version, strings.Join(r.behaviours, "; "))
	}
	return b.String()
}
