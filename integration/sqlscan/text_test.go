package sqlscan

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// writer makes texts that are hard to lex. Most of them are valid.
type writer struct{ *rand.Rand }

func (w writer) pick(xs ...string) string { return xs[w.IntN(len(xs))] }

// gap is white space or comments.
func (w writer) gap() string {
	return w.pick(" ", " ", " ", "\n", "\t\f", "/**/", "/* ; ' */", "/* /* $a$ */ \" */", "-- ' ; \n", "-- \" $$\r", " /*/**/*/ ")
}

// content is text with everything in it that could end a literal.
func (w writer) content() string {
	var b strings.Builder
	for range w.IntN(6) {
		b.WriteString(w.pick("'", "\\", "\"", ";", "$", "$a$", "$$", "--", "/*", "*/", "; SET ROLE bob; ", "\n", "\r\n", "é", "x", " ", "!", "'\n'", "\\'", "n", "0"))
	}
	return b.String()
}

// literal spells s, which has no zero byte, in one of PostgreSQL's ways.
func (w writer) literal(s string) string {
	switch w.IntN(5) {
	case 0:
		return w.escaped(s)
	case 1:
		esc := w.pick("\\", "!", "z")
		out := "U&'" + strings.ReplaceAll(w.unicode(s, esc), "'", "''") + "'"
		if esc != "\\" {
			out += w.gap() + w.pick("UESCAPE", "uescape") + w.gap() + w.pick("'"+esc+"'", "E'"+esc+"'", "$_$"+esc+"$_$")
		}
		return out
	case 2:
		for _, tag := range []string{"$$", "$a$", "$é1$", "$_b$"} {
			if !strings.Contains(s+"$", tag) && !strings.Contains(s+tag[:len(tag)-1], tag) {
				return tag + s + tag
			}
		}
	}
	at := 0
	if len(s) > 0 {
		at = w.IntN(len(s))
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	if w.IntN(3) > 0 || strings.Contains(s, "é") {
		return quote(s)
	}
	return quote(s[:at]) + w.pick("\n", " \r ", " -- it's\n", "\n--'\n") + quote(s[at:])
}

// escaped spells s as E'...'.
func (w writer) escaped(s string) string {
	var b strings.Builder
	b.WriteString(w.pick("E'", "e'"))
	for i := range len(s) {
		if w.IntN(8) == 0 {
			b.WriteString(w.pick("'\n'", "' \r '", "'--'\n'")) // a continuation
		}
		switch c := s[i]; {
		case c == '\'':
			b.WriteString(w.pick("''", `\'`, `\x27`, `\047`))
		case c == '\\':
			b.WriteString(w.pick(`\\`, `\134`, `\x5c`))
		case c == '\n':
			b.WriteString(w.pick("\n", `\n`))
		case c < 0x80 && w.IntN(4) == 0:
			fmt.Fprintf(&b, w.pick(`\u%04X`, `\U%08x`, `\x%02x`, `\%03o`), c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// unicode spells s for U& with the escape character esc.
func (w writer) unicode(s, esc string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case w.IntN(3) == 0:
			fmt.Fprintf(&b, w.pick("%s%04x", "%s+%06X"), esc, r)
		case string(r) == esc:
			b.WriteString(esc + esc)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// name spells a lower-case identifier in one of PostgreSQL's ways.
func (w writer) name(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
	switch n := w.IntN(4); {
	case n == 0 && plain:
		return strings.ToUpper(s)
	case n == 1:
		esc := w.pick("\\", "!")
		out := w.pick("U&", "u&") + `"` + strings.ReplaceAll(w.unicode(s, esc), `"`, `""`) + `"`
		if esc == "!" {
			out += w.gap() + "UESCAPE" + w.gap() + "'!'"
		}
		return out
	case n == 2 && plain:
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// mutate breaks a text in one place.
func (w writer) mutate(sql string) string {
	at := w.IntN(len(sql) + 1)
	switch {
	case at < len(sql) && w.IntN(2) == 0:
		return sql[:at] + sql[at+1:]
	default:
		return sql[:at] + w.pick("'", "\"", "$", "\\", ";", "--", "/*", "*/", "\n", "E'", "U&\"", "$a$", "(", ")", "\x80", "1", "e", "&", " ") + sql[at:]
	}
}
