package sqlscan

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// TestLiterals compares the values of literals and names: what PostgreSQL says that they are, and what the decoder says,
// also of those that neither takes.
func TestLiterals(t *testing.T) {
	s := start(t)
	c, w := s.connect(t), writer{rand.New(rand.NewPCG(3, 4))}
	ok := 0
	for range 3000 {
		want := w.content()
		lit := w.literal(want)
		if w.IntN(3) == 0 {
			lit, want = w.mutate(lit), ""
		}
		if c.compareLiteral(lit, want) {
			ok++
		}
	}
	for _, lit := range []string{
		`E'\u0000'`, `E'\x00'`, `E'\0'`, `E'\400'`, `E'\777'`, `E'\x'`, `E'\xg'`, `E'\u12'`, `E'\ud83d'`, `E'\ud83d\ude00'`, `E'\ud83d\U0000de00'`,
		`E'\ud83dx\ude00'`, `E'\ude00'`, `E'\ud83d\ud83d'`, `E'\U00110000'`, `E'\U0010ffff'`, `E'\8\9\q'`, `U&'\d83d\de00'`, `U&'\+00d83d\+00de00'`,
		`U&'\d83d'`, `U&'\de00'`, `U&'\d83dx'`, `U&'\\'`, `U&'\'`, `U&'\12'`, `U&'\+110000'`, `U&'\0000'`, `U&'x' UESCAPE 'a'`, `U&'!0041' UESCAPE '!'`,
		`U&'!!' UESCAPE '!'`, `U&'x' UESCAPE '+'`, `U&'x' UESCAPE ''''`, `U&'x' UESCAPE E'\''`, `U&'x' UESCAPE '"'`, `U&'x' UESCAPE ' '`, `U&'x' UESCAPE 'ab'`,
		`U&'x' UESCAPE`, `U&'x' UESCAPE U&'!'`, `U&'x' UESCAPE N'!'`, `U&'x' UESCAPE b'1'`, `U&'x' UESCAPE $$!$$`, `U&'x' UESCAPE$$!$$`, "U&'x' UESCAPE '!'\n''",
		"U&'\\00'\n'41'", "U&'\\d83d'\n'\\de00'", "E'\\ud83d'\n'\\ude00'", "'a'\n\n--'\n'b'", "'a' /**/\n'b'", "'a' 'b'", "'a'\nE'b'", "E'a'\n'\\n'", "$é$ $ $é$",
		"$1a$ $1a$", "$a b$ $a b$", "$a$ $$ $b$ $aa$ $a$", "$$$$", "$a$$a$", "$$$a$$", "'a'\f'b'",
	} {
		c.compareLiteral(lit, "")
	}
	if ok < 1500 {
		t.Errorf("only %d literals were taken", ok)
	}
}

// invalidBytes is the SQLSTATE of a text or a literal that is not valid in its encoding.
const invalidBytes = "22021"

// compareLiteral reports whether PostgreSQL takes lit. want is its text, if known.
func (c *client) compareLiteral(lit, want string) bool {
	c.t.Helper()
	sql := []byte("SELECT " + lit)
	o := c.run(string(sql))
	s := sqlscan.NewScanner(sql)
	s.Next()
	tok := s.Next()
	got, ok := sqlscan.AppendString(nil, sql, tok)
	if next := s.Next(); next.Kind != sqlscan.EOF || tok.Kind == sqlscan.Bad || tok.Kind == sqlscan.EOF || o.code == invalidBytes {
		// Not one literal, or not in UTF-8: what PostgreSQL makes of it TestGenerated compares.
		if (tok.Kind == sqlscan.Bad || want != "") && o.code == "" {
			c.t.Errorf("%s is %q for PostgreSQL and not lexed as one literal", lit, o.row)
		}
		return false
	}
	switch taken := o.code == ""; {
	case taken != ok && (taken || isText(tok.Kind)):
		c.t.Errorf("%s: decoded %v, PostgreSQL says %v", lit, ok, o.err())
	case taken && string(got) != o.row[0], taken && want != "" && string(got) != want:
		c.t.Errorf("%s is %q for PostgreSQL, decoded %q, meant %q", lit, o.row[0], got, want)
	}
	return o.code == ""
}

func isText(k sqlscan.TokenKind) bool {
	return k == sqlscan.String || k == sqlscan.EString || k == sqlscan.UString || k == sqlscan.Dollar
}

// TestNames compares identifiers.
func TestNames(t *testing.T) {
	s := start(t)
	c, w := s.connect(t), writer{rand.New(rand.NewPCG(5, 6))}
	long := strings.Repeat("Äb", 40)
	names := []string{long, `"` + long + `"`, `U&"` + long + `"`, `U&"` + strings.Repeat(`\00e4`, 40) + `"`, "a" + long, "ab" + long, `U&"d\0061t\+000061"`,
		`U&"d!0061" UESCAPE '!'`, `""`, `U&""`, `U&"\0000"`, `U&"\d83d\de00"`, `U&"\d83d"`, `"""`, `""""`, "ÄÖ", "A1$b", "_x", `"A.b"`}
	for range 500 {
		if n := w.content(); n != "" {
			names = append(names, w.name(n))
		}
	}
	for _, name := range names {
		sql := []byte("SELECT 1 AS " + name)
		o := c.run(string(sql))
		sc := sqlscan.NewScanner(sql)
		var tok sqlscan.Token
		for range 4 {
			tok = sc.Next()
		}
		got, ok := sqlscan.AppendName(nil, sql, tok)
		switch {
		case ok != (o.code == ""):
			t.Errorf("%s: decoded %v, PostgreSQL says %v", name, ok, o.err())
		case ok && string(got) != o.column:
			t.Errorf("%s is %q for PostgreSQL, decoded %q", name, o.column, got)
		}
	}
}

// TestQuoting has PostgreSQL read what the quoting functions write, with both settings of standard_conforming_strings.
func TestQuoting(t *testing.T) {
	s := start(t)
	c, w := s.connect(t), writer{rand.New(rand.NewPCG(7, 8))}
	for _, conforming := range []string{"on", "off"} {
		c.must("SET standard_conforming_strings = " + conforming + "; SET escape_string_warning = off")
		for range 300 {
			text := w.content()
			sql := sqlscan.QuoteLiteral([]byte("SELECT "), text)
			name := "x" + text
			sql = sqlscan.QuoteIdent(append(sql, " AS "...), name)
			if o := c.run(string(sql)); o.code != "" || o.row[0] != text || o.column != name {
				t.Errorf("%q comes back as %q and %q: %v", text, o.row, o.column, o.err())
			}
		}
	}
}
