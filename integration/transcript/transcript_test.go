package transcript

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlay(t *testing.T) {
	const text = "# adds\n\nadd 1\n-> 1\nadd 2\n-> wrong\n-> and too much\nnothing\nadd 4"
	const want = "# adds\n\nadd 1\n-> 1\nadd 2\n-> 1\n-> 2\nnothing\nadd 4\n-> 1\n-> 2\n-> 4\n"
	var all []string
	do := func(line string) []string {
		n, ok := strings.CutPrefix(line, "add ")
		if !ok {
			return nil
		}
		all = append(all, n)
		return all
	}
	if got := Play(text, do); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Commands(text); !slices.Equal(got, []string{"add 1", "add 2", "nothing", "add 4"}) {
		t.Errorf("commands %q", got)
	}
	if got := Play(want, func(string) []string { return nil }); strings.Contains(got, answer) {
		t.Errorf("nothing followed, and it says\n%s", got)
	}
}

func TestTexts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "texts.txt")
	if err := os.WriteFile(file, []byte("# none\n\nSELECT 1 \n\"a\\r\\tb\"\n 'last'"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := Texts(t, file), []string{"SELECT 1 ", "a\r\tb", " 'last'"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFirstDifference(t *testing.T) {
	for _, c := range []struct{ was, is, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb", "a\nc", "line 2:\nwant b\ngot  c"},
		{"a\n", "a", "line 2:\nwant \ngot  (end)"},
		{"a", "a\nb", "line 2:\nwant (end)\ngot  b"},
		{"a\r\nb", "a\nb", "line 1:\nwant a\r\ngot  a"},
	} {
		if got := firstDifference(c.was, c.is); got != c.want {
			t.Errorf("%q, %q: %q", c.was, c.is, got)
		}
	}
}
