package roles

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// ident writes a name as a quoted identifier that can be shown: what is not printable (an escape sequence for somebody's
// terminal, a line's end, text that runs backwards) is written as U&"\000A" (PostgreSQL documentation, "Identifiers and Key
// Words"), which needs standard_conforming_strings=on.
func ident(name string) string {
	if printable(name) {
		return string(sqlscan.QuoteIdent(nil, name))
	}
	return `U&"` + escaped(strings.ReplaceAll(name, `"`, `""`)) + `"`
}

// qualified is ident for a name in a schema; schema "" is none.
func qualified(schema, name string) string {
	if schema == "" {
		return ident(name)
	}
	return ident(schema) + "." + ident(name)
}

// literal writes a text as ident writes a name.
func literal(s string) string {
	if printable(s) {
		return string(sqlscan.QuoteLiteral(nil, s))
	}
	return `U&'` + escaped(strings.ReplaceAll(s, `'`, `''`)) + `'`
}

// show writes a name for people: as it is where that cannot be misread.
func show(parts ...string) string {
	name := strings.Join(parts, ".")
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(` ",:;'\`, r) }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// printable reports whether s is safe on a terminal. U+FFFD stands for bytes that were no UTF-8.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\+%06X`, r)
		default:
			fmt.Fprintf(&b, `\%04X`, r)
		}
	}
	return b.String()
}

// listed writes the first few of names and how many more there are.
func listed(names []string) string {
	const most = 5
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
