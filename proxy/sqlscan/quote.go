package sqlscan

import "strings"

// QuoteIdent appends name as a quoted identifier, whatever is in it. PostgreSQL cuts names to 63 bytes and refuses empty
// ones: both are for the caller to check, and so is that name is valid in the encoding of the session. A name with a zero
// byte cannot be written down at all and panics.
func QuoteIdent(dst []byte, name string) []byte {
	refuseNul(name)
	dst = append(dst, '"')
	for i := range len(name) {
		if name[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, name[i])
	}
	return append(dst, '"')
}

// QuoteLiteral appends s as a text literal that means the same whether standard_conforming_strings is on or off: with
// backslashes in it, it becomes E'...', so that no letter may stand directly before it. A zero byte panics, as in QuoteIdent.
func QuoteLiteral(dst []byte, s string) []byte {
	refuseNul(s)
	if strings.IndexByte(s, '\\') >= 0 {
		dst = append(dst, 'E')
	}
	dst = append(dst, '\'')
	for i := range len(s) {
		if c := s[i]; c == '\'' || c == '\\' {
			dst = append(dst, c)
		}
		dst = append(dst, s[i])
	}
	return append(dst, '\'')
}

// refuseNul keeps a text that the protocol would cut in two from becoming another one.
func refuseNul(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		panic("BUG: sqlscan: zero byte in a text to be quoted")
	}
}
