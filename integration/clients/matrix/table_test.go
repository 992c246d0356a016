package matrix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// row is one driver's part of docs/compatibility.md.
type row struct {
	driver, version string
	behaviours      []string
}

var (
	rows    []row
	skipped []string // drivers that had to be there
	server  string   // PostgreSQL's version
)

// record makes a row of what a program printed, the same without pgtier and with it.
func record(d driver, lines []string) {
	r := row{driver: d.name}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "version":
			r.version = rest
		case "ok":
			r.behaviours = append(r.behaviours, rest)
		case "saw":
			what, _, _ := strings.Cut(rest, " => ")
			r.behaviours = append(r.behaviours, what)
		}
	}
	rows = append(rows, r)
}

// The table stands between these lines; what is around it is others'.
const (
	document = "../../../docs/compatibility.md"
	begins   = "<!-- Written by `make drivers`: do not edit. -->\n"
	ends     = "<!-- The end of what `make drivers` writes. -->\n"
)

// writeTable writes what all drivers did, and returns an exit code.
func writeTable() int {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func write() error {
	if len(skipped) > 0 {
		return fmt.Errorf("%s is not written: without %s", document, strings.Join(skipped, ", "))
	}
	was, err := os.ReadFile(document)
	if errors.Is(err, fs.ErrNotExist) {
		was, err = []byte("# Compatibility\n\n"+begins+ends), nil
	}
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(was), begins)
	_, after, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 { // somebody else's document, as yet
		before, after = strings.TrimRight(string(was), "\n")+"\n\n", ""
	}
	return os.WriteFile(document, []byte(before+begins+table()+ends+after), 0o644)
}

func table() string {
	var b strings.Builder
	fmt.Fprintf(&b, `## Drivers in transaction mode

Programs of these drivers run once against PostgreSQL %s and once through a pgtier in transaction mode, %d connections at
once where it says so on %d server connections, and must print the same.

| driver | version | behaviours | PostgreSQL | pgtier |
|---|---|---|---|---|
`, server, workers, size)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %d | pass | same |\n", r.driver, r.version, len(r.behaviours))
	}
	b.WriteString("\nWhat each program does, one behaviour after the other:\n\n")
	for i, r := range rows {
		if i > 0 && slices.Equal(r.behaviours, rows[i-1].behaviours) {
			continue // another version of the same driver
		}
		fmt.Fprintf(&b, "* **%s**: %s.\n", r.driver, strings.Join(distinct(r.behaviours), "; "))
	}
	return b.String()
}

// distinct leaves out what occurs for the second time.
func distinct(list []string) (out []string) {
	seen := make(map[string]bool)
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
