package sqlscan

import "bytes"

// literal scans a literal in single quotes, the first of which is at open, with its continuations on other lines. A
// continuation goes on in the manner of the first part: behind E'a' it may hold backslash escapes as well.
func (s *Scanner) literal(start, open int, kind TokenKind) Token {
	for {
		end := s.closing(open, kind == EString)
		if end < 0 {
			return s.bad(start)
		}
		s.pos = end + 1
		if open = s.continuation(); open < 0 {
			return Token{kind, start, s.pos}
		}
	}
}

// closing returns the position of the quote that ends the literal whose first quote is at open, or -1.
func (s *Scanner) closing(open int, escapes bool) int {
	for i := open + 1; i < len(s.src); i++ {
		if !escapes {
			n := bytes.IndexByte(s.src[i:], '\'')
			if n < 0 {
				return -1
			}
			i += n
		}
		switch {
		case escapes && s.src[i] == '\\':
			i++ // whatever follows is part of the text
		case s.src[i] != '\'':
		case s.at(i+1) == '\'':
			i++
		default:
			return i
		}
	}
	return -1
}

// continuation returns the position of the quote that continues a literal which ended just before s.pos: one with nothing
// but white space and "--" comments before it, an end of line among them. It returns -1 when there is none.
func (s *Scanner) continuation() int {
	t, newline := *s, false
	for t.pos < len(t.src) {
		switch c := t.src[t.pos]; {
		case c == '\n' || c == '\r':
			newline = true
			t.pos++
		case class[c] == cSpace:
			t.pos++
		case c == '-' && t.at(t.pos+1) == '-':
			t.lineComment()
		case c == '\'' && newline:
			return t.pos
		default:
			return -1
		}
	}
	return -1
}

// uescape extends a U& token by the UESCAPE clause that may follow it (base_yylex in parser.c). A clause that PostgreSQL
// refuses makes the token Bad.
func (s *Scanner) uescape(t Token) Token {
	if t.Kind == Bad {
		return t
	}
	after := *s
	if !after.skipSpace() || !after.skipWord("uescape") {
		return t
	}
	if _, ok := after.escapeChar(); !ok {
		return s.bad(t.Start)
	}
	*s = after
	t.End = s.pos
	return t
}

// escapeChar reads the literal of a UESCAPE clause: any but U&, which keeps this from recursing, and one character long.
func (s *Scanner) escapeChar() (c byte, ok bool) {
	if !s.skipSpace() {
		return 0, false
	}
	t := Token{Kind: Bad}
	switch start := s.pos; {
	case s.at(start) == '\'':
		t = s.literal(start, start, String)
	case lower(s.at(start)) == 'e' && s.at(start+1) == '\'':
		t = s.literal(start, start+1, EString)
	case s.at(start) == '$':
		t = s.dollar(start)
	}
	if t.End-t.Start > maxUescape {
		return 0, false
	}
	var buf [maxUescape]byte
	text, ok := appendSimple(buf[:0], s.src[t.Start:t.End], t.Kind)
	if !ok || len(text) != 1 || !isUescape(text[0]) {
		return 0, false
	}
	return text[0], true
}

// maxUescape bounds the literal of a UESCAPE clause, one character however it is written; a longer one, such as a dollar
// quote with a long tag, is refused rather than read. Nobody writes one.
const maxUescape = 64

// isUescape reports whether c may be the escape character of a U& literal.
func isUescape(c byte) bool {
	return hex(c) < 0 && c != '+' && c != '\'' && c != '"' && class[c] != cSpace && c < 0x80
}

// skipWord moves past the lower-case word w, in any case, and reports whether it was there.
func (s *Scanner) skipWord(w string) bool {
	end := s.pos + len(w)
	if end > len(s.src) || !equalFold(s.src[s.pos:end], w) || inWord[s.at(end)] {
		return false
	}
	s.pos = end
	return true
}

// hex returns the value of a hexadecimal digit, or -1.
func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// equalFold reports whether b is the lower-case ASCII word w, in any case.
func equalFold(b []byte, w string) bool {
	if len(b) != len(w) {
		return false
	}
	for i := range len(b) {
		if lower(b[i]) != w[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}
