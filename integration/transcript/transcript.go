// Package transcript plays tests that are written as text. A transcript has a command on each line, and behind it, on lines
// that begin with "-> ", what must follow from it, in order; empty lines and those that begin with # are left alone. What a
// command means is the caller's: it is given each line and says what followed.
//
// With -update the files are rewritten from what followed, to be looked at as a diff.
package transcript

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what follows from the commands in testdata")

// answer begins a line that says what follows from the command before it.
const answer = "-> "

// Files are the transcripts of the package under test: testdata/*.txt. There is at least one.
func Files(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	return files
}

// Name is what a test of this transcript is called.
func Name(file string) string { return strings.TrimSuffix(filepath.Base(file), ".txt") }

// Run plays each of Files in a test of its own. start begins anew and returns what carries out one command and says what
// followed.
func Run(t *testing.T, start func(t *testing.T) (do func(line string) []string)) {
	for _, file := range Files(t) {
		t.Run(Name(file), func(t *testing.T) {
			was, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			is := Play(string(was), start(t))
			if *update {
				if err := os.WriteFile(file, []byte(is), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := firstDifference(string(was), is); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Play carries out the commands of text and returns it as it should be.
func Play(text string, do func(line string) []string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, answer) {
			continue
		}
		out.WriteString(line + "\n")
		if !isCommand(line) {
			continue
		}
		for _, l := range do(line) {
			out.WriteString(answer + l + "\n")
		}
	}
	return out.String()
}

// Commands are the commands of text.
func Commands(text string) (commands []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); isCommand(line) {
			commands = append(commands, line)
		}
	}
	return commands
}

func isCommand(line string) bool {
	return line != "" && line[0] != '#' && !strings.HasPrefix(line, answer)
}

// firstDifference says where two texts part; "" when they are the same.
func firstDifference(was, is string) string {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "(end)", "(end)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d:\nwant %s\ngot  %s", i+1, x, y)
		}
	}
	return ""
}
