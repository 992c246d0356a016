package sqlscan

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	"", "SELECT 1; SELECT 2", "SET ROLE bob", `SET U&"!0072ole" UESCAPE '!' = bob`, "SELECT E'a'\n'\\'';--'", "$a$ $b$ $a$",
	"CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE 1 END; END; x", "SELECT set_config('a', U&'\\D83D\\DE00', false)",
	"/* /* */ */ -- x\n;;", "PREPARE x(a) AS EXPLAIN (a) SELECT '", "U&\"", "E'\\", "'a'\n", "$a", "1e+", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL",
}

// FuzzReader checks that every text is read without a panic, that statements lie in order in the text with nothing but
// empty statements between them, and that a statement read alone says the same.
func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sql []byte) {
		sum, at, count := Classify(sql), 0, 0
		for r := NewReader(sql); r.Next(); count++ {
			st := r.Statement()
			from := r.start
			if len(st.Text) == 0 || from < at || Classify(sql[at:from]).Count != 0 && sum.Does&CannotLex == 0 {
				t.Fatalf("%q: gap %q before %q", sql, sql[at:from], st.Text)
			}
			at = from + len(st.Text)
			checkAlone(t, st)
		}
		if count != sum.Count {
			t.Fatalf("%q: %d statements, summary says %d", sql, count, sum.Count)
		}
	})
}

// checkAlone reads the text of st again.
func checkAlone(t *testing.T, st Statement) {
	xs, ok := st.Settings(nil)
	r := NewReader(st.Text)
	if st.Does&CannotLex != 0 {
		return
	}
	r.Next()
	again := r.Statement()
	if !bytes.Equal(again.Text, st.Text) || again.Kind != st.Kind || again.Name() != st.Name() || again.Does&^NotUTF8 != st.Does&^NotUTF8 {
		t.Fatalf("%q: %v %q %q, alone %v %q %q", st.Text, st.Kind, st.Name(), st.Does, again.Kind, again.Name(), again.Does)
	}
	for _, x := range xs {
		checkReplay(t, x, ok)
	}
}

// checkReplay reads the statement that repeats a setting.
func checkReplay(t *testing.T, x Setting, ok bool) {
	if x.Name == "" || !ok || len(x.Name) > maxName || !utf8.ValidString(x.Name) || bytes.Contains([]byte(x.Name), []byte("..")) ||
		x.Name[0] == '.' || x.Name[len(x.Name)-1] == '.' {
		return
	}
	sql := x.AppendSet(nil)
	r := NewReader(sql)
	r.Next()
	st := r.Statement()
	ys, ok := st.Settings(nil)
	if !ok || len(ys) != 1 || ys[0].Name != x.Name || !bytes.Equal(ys[0].Value, x.Value) || ys[0].Default != x.Default {
		t.Fatalf("%q is read as %+v, was %+v", sql, ys, x)
	}
}

// FuzzDecode checks that what is quoted is read back as it was.
func FuzzDecode(f *testing.F) {
	f.Add("a", "it's")
	f.Add(`A"b`, `\'`)
	f.Fuzz(func(t *testing.T, name, text string) {
		if bytes.IndexByte([]byte(name+text), 0) >= 0 || name == "" {
			return
		}
		sql := QuoteIdent(nil, name)
		s := NewScanner(sql)
		tok := s.Next()
		got, ok := AppendName(nil, sql, tok)
		if !ok || tok.End != len(sql) || len(name) <= maxName && string(got) != name || len(got) > maxName {
			t.Fatalf("%q: %q, %v", name, got, ok)
		}
		sql = QuoteLiteral(nil, text)
		s = NewScanner(sql)
		tok = s.Next()
		if got, ok = AppendString(nil, sql, tok); !ok || tok.End != len(sql) || string(got) != text {
			t.Fatalf("%q: %q, %v", text, got, ok)
		}
	})
}
