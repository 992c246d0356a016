package roles

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

var nasty = []string{"a", "A b", `a"b`, `a'b`, `a\b`, "a\nb", "\x1b[2J", "tab\tab", `U&"\0041`, `";--`, "\u202e\"backwards\\", "\U000e0001'", "ü", "$$", "a\u00a0b",
	`\000A`, "\x7f", ":'x'", "%I"}

func TestQuotes(t *testing.T) {
	for _, c := range []struct{ in, ident, literal, show string }{
		{"epmt-ro", `"epmt-ro"`, `'epmt-ro'`, `epmt-ro`},
		{`a"b`, `"a""b"`, `'a"b'`, `"a\"b"`},
		{`a'b`, `"a'b"`, `'a''b'`, `"a'b"`},
		{"a\nb\"\\", `U&"a\000Ab""\\"`, `U&'a\000Ab"\\'`, `"a\nb\"\\"`},
		{"\U000e0001", `U&"\+0E0001"`, `U&'\+0E0001'`, `"\U000e0001"`},
		{"", `""`, `''`, `""`},
	} {
		if got := ident(c.in); got != c.ident {
			t.Errorf("ident(%q) = %s, want %s", c.in, got, c.ident)
		}
		if got := literal(c.in); got != c.literal {
			t.Errorf("literal(%q) = %s, want %s", c.in, got, c.literal)
		}
		if got := show(c.in); got != c.show {
			t.Errorf("show(%q) = %s, want %s", c.in, got, c.show)
		}
	}
}

// What is quoted means to PostgreSQL what it was.
func TestQuotesOnServer(t *testing.T) {
	c, _ := testpg.Shared(t)
	ctx := t.Context()
	conn, err := c.Connect(ctx, pgtest.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, s := range nasty {
		results, err := conn.Exec(ctx, "SELECT "+literal(s)+" AS "+ident(s)).ReadAll()
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := string(results[0].Rows[0][0]); got != s {
			t.Errorf("literal(%q) means %q", s, got)
		}
		if got := results[0].FieldDescriptions[0].Name; got != s {
			t.Errorf("ident(%q) means %q", s, got)
		}
	}
}

func FuzzQuotes(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Skip("PostgreSQL has no such names")
		}
		for _, got := range []string{ident(s), literal(s), show(s), oneLine(s)} {
			if !printable(got) {
				t.Errorf("%q is not safe on a terminal", got)
			}
		}
		// Inside its quotes, every quote is doubled: nothing can end it early.
		for quote, got := range map[string]string{`"`: ident(s), `'`: literal(s)} {
			got = got[strings.Index(got, quote)+1:]
			if body, ok := strings.CutSuffix(got, quote); !ok || strings.Contains(strings.ReplaceAll(body, quote+quote, ""), quote) {
				t.Errorf("%q can be left from within: %s", s, got)
			}
		}
	})
}

func TestSplitList(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{`"$user", public`, []string{"$user", "public"}},
		{`a,b , c`, []string{"a", "b", "c"}},
		{`"a,""b"`, []string{`a,"b`}},
		{`""`, []string{""}},
		{``, nil},
		{`a; DROP TABLE t`, []string{"a;DROPTABLEt"}}, // one name, whatever is in it
	} {
		if got := splitList(c.in); !slices.Equal(got, c.want) {
			t.Errorf("splitList(%s) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := settingValue("search_path", `a; DROP TABLE t, 'x`); got != `'a;DROPTABLEt', '''x'` {
		t.Error(got)
	}
	if got := settingValue("statement_timeout", `5s'; --`); got != `'5s''; --'` {
		t.Error(got)
	}
}
