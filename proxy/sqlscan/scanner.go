package sqlscan

import "bytes"

// TokenKind says what a Token is.
type TokenKind uint8

const (
	EOF     TokenKind = iota
	Word              // an identifier or keyword without quotes
	Quoted            // "identifier"
	UQuoted           // U&"identifier", its UESCAPE clause included
	Number            // 1, 1.5, .5, 1e10
	Param             // $1
	String            // 'text', its continuations on other lines included
	EString           // E'text', likewise
	UString           // U&'text', likewise, its UESCAPE clause included
	Dollar            // $tag$text$tag$
	Bits              // B'0101' or X'1f'
	Symbol            // one byte: punctuation, a byte of an operator, or a byte that no SQL has
	Bad               // text that PostgreSQL's lexer refuses as well; nothing but EOF follows it
)

// Token is src[Start:End] of the text that its Scanner reads.
type Token struct {
	Kind       TokenKind
	Start, End int
}

// isName reports whether t can be an identifier.
func (t Token) isName() bool { return t.Kind == Word || t.Kind == Quoted || t.Kind == UQuoted }

// isString reports whether t is a text literal.
func (t Token) isString() bool {
	return t.Kind == String || t.Kind == EString || t.Kind == UString || t.Kind == Dollar
}

// Scanner cuts a text into tokens with the rules of PostgreSQL's src/backend/parser/scan.l and of base_yylex in parser.c,
// as they are with standard_conforming_strings on. Where versions 14 to 18 differ, one of them accepts the text and the
// others refuse it whole (\v as white space, 0x1f, 1_000, 1e without digits), so that reading it as the lenient one is safe.
//
// It is a small value: copy it to look ahead. It neither allocates nor keeps anything but the text.
type Scanner struct {
	src []byte
	pos int
}

// NewScanner returns a Scanner at the start of sql, which it reads but never changes.
func NewScanner(sql []byte) Scanner { return Scanner{src: sql} }

// Classes of bytes outside of quotes.
const (
	cSymbol = iota
	cSpace
	cLetter // may start an identifier: letters, underscore, every byte from 0x80 on
	cDigit
	cQuote
	cDouble
	cDollar
	cDash
	cSlash
	cDot
	cNul
)

var class = func() (t [256]uint8) {
	for _, c := range " \t\n\r\f\v" {
		t[c] = cSpace
	}
	for c := range t {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80, c == '_', c >= 0x80:
			t[c] = cLetter
		case c >= '0' && c <= '9':
			t[c] = cDigit
		}
	}
	t['\''], t['"'], t['$'], t['-'], t['/'], t['.'], t[0] = cQuote, cDouble, cDollar, cDash, cSlash, cDot, cNul
	return t
}()

// inWord tells the bytes that continue an identifier.
var inWord = func() (t [256]bool) {
	for c := range t {
		t[c] = class[c] == cLetter || class[c] == cDigit || c == '$'
	}
	return t
}()

// Next returns the next token; white space and comments are skipped. At the end it returns EOF, again and again.
func (s *Scanner) Next() Token {
	if !s.skipSpace() {
		return s.bad(s.pos)
	}
	start := s.pos
	if start >= len(s.src) {
		return Token{EOF, start, start}
	}
	switch class[s.src[start]] {
	case cLetter:
		return s.word(start)
	case cDigit:
		return s.number(start)
	case cDot:
		if class[s.at(start+1)] == cDigit {
			return s.number(start)
		}
	case cQuote:
		return s.literal(start, start, String)
	case cDouble:
		return s.quoted(start, start, Quoted)
	case cDollar:
		return s.dollar(start)
	case cNul:
		return s.bad(start)
	}
	s.pos++
	return Token{Symbol, start, s.pos}
}

// at returns the byte at i, or a space behind the end.
func (s *Scanner) at(i int) byte {
	if i < len(s.src) {
		return s.src[i]
	}
	return ' '
}

func (s *Scanner) bad(start int) Token {
	s.pos = len(s.src)
	return Token{Bad, start, s.pos}
}

// skipSpace moves to the next byte that is neither white space nor in a comment. It reports false in a comment that never
// ends; the position is then the start of that comment.
func (s *Scanner) skipSpace() bool {
	for s.pos < len(s.src) {
		switch class[s.src[s.pos]] {
		case cSpace:
			s.pos++
			continue
		case cDash:
			if s.at(s.pos+1) == '-' {
				s.lineComment()
				continue
			}
		case cSlash:
			if s.at(s.pos+1) == '*' {
				if !s.blockComment() {
					return false
				}
				continue
			}
		}
		return true
	}
	return true
}

// lineComment skips a "--" comment up to its end of line, which is \n or \r.
func (s *Scanner) lineComment() {
	for s.pos < len(s.src) && s.src[s.pos] != '\n' && s.src[s.pos] != '\r' {
		s.pos++
	}
}

// blockComment skips a comment, which may hold others. It reports false when the comment does not end.
func (s *Scanner) blockComment() bool {
	depth := 0
	for i := s.pos; i+1 < len(s.src); {
		switch {
		case s.src[i] == '/' && s.src[i+1] == '*':
			depth++
			i += 2
		case s.src[i] == '*' && s.src[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				s.pos = i
				return true
			}
		default:
			i++
		}
	}
	return false
}

// word scans an identifier, or the literal that its first letter is the prefix of.
func (s *Scanner) word(start int) Token {
	switch s.at(start + 1) {
	case '\'':
		switch s.src[start] | 0x20 {
		case 'e':
			return s.literal(start, start+1, EString)
		case 'b', 'x':
			return s.literal(start, start+1, Bits)
		}
	case '&':
		if s.src[start]|0x20 == 'u' {
			switch s.at(start + 2) {
			case '\'':
				return s.uescape(s.literal(start, start+2, UString))
			case '"':
				return s.uescape(s.quoted(start, start+2, UQuoted))
			}
		}
	}
	i, src := start+1, s.src
	for i < len(src) && inWord[src[i]] {
		i++
	}
	s.pos = i
	return Token{Word, start, i}
}

// number scans digits, a fraction and an exponent. An exponent without digits is not part of it: on PostgreSQL 14 the e of
// 1e'text' is the prefix of a string (later versions refuse the text).
func (s *Scanner) number(start int) Token {
	i := s.digits(start)
	if s.at(i) == '.' && s.at(i+1) != '.' {
		i = s.digits(i + 1)
	}
	if s.at(i)|0x20 == 'e' {
		j := i + 1
		if c := s.at(j); c == '+' || c == '-' {
			j++
		}
		if class[s.at(j)] == cDigit {
			i = s.digits(j)
		}
	}
	s.pos = i
	return Token{Number, start, i}
}

func (s *Scanner) digits(i int) int {
	for i < len(s.src) && class[s.src[i]] == cDigit {
		i++
	}
	return i
}

// dollar scans $1, $tag$text$tag$ or a lone dollar sign.
func (s *Scanner) dollar(start int) Token {
	i := start + 1
	if class[s.at(i)] == cDigit {
		s.pos = s.digits(i)
		return Token{Param, start, s.pos}
	}
	for c := class[s.at(i)]; c == cLetter || c == cDigit; c = class[s.at(i)] {
		i++
	}
	if s.at(i) != '$' {
		s.pos = start + 1
		return Token{Symbol, start, s.pos}
	}
	tag := s.src[start : i+1]
	n := bytes.Index(s.src[i+1:], tag)
	if n < 0 {
		return s.bad(start)
	}
	s.pos = i + 1 + n + len(tag)
	return Token{Dollar, start, s.pos}
}

// quoted scans an identifier in double quotes, the first of which is at open. An empty one is an error in PostgreSQL.
func (s *Scanner) quoted(start, open int, kind TokenKind) Token {
	for i := open + 1; ; i += 2 {
		n := bytes.IndexByte(s.src[i:], '"')
		if n < 0 {
			return s.bad(start)
		}
		if i += n; s.at(i+1) != '"' {
			if i == open+1 {
				return s.bad(start)
			}
			s.pos = i + 1
			return Token{kind, start, s.pos}
		}
	}
}
