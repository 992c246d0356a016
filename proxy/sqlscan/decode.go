package sqlscan

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxName is how many bytes of an identifier count: NAMEDATALEN - 1.
const maxName = 63

// AppendName appends the name that the Word, Quoted or UQuoted token t of sql stands for, as PostgreSQL sees it: lower case
// unless quoted, escapes resolved, cut to 63 bytes at a character's end. Letters outside of ASCII keep their case. ok is false
// when t is another kind of token or holds an escape that PostgreSQL refuses.
func AppendName(dst, sql []byte, t Token) (out []byte, ok bool) {
	from := len(dst)
	switch text := sql[t.Start:t.End]; t.Kind {
	case Word:
		for _, c := range text {
			dst = append(dst, lower(c))
		}
	case Quoted:
		dst, _ = undouble(dst, text, '"')
	case UQuoted:
		if dst, ok = appendU(dst, sql, t, '"'); !ok {
			return dst[:from], false
		}
	default:
		return dst, false
	}
	return dst[:from+clip(dst[from:])], true
}

// clip returns how many bytes of name PostgreSQL keeps.
func clip(name []byte) int {
	if len(name) <= maxName {
		return len(name)
	}
	n := maxName
	for n > maxName-utf8.UTFMax && !utf8.RuneStart(name[n]) {
		n--
	}
	return n
}

// AppendString appends the text that the String, EString, UString or Dollar token t of sql stands for. ok is false when t is
// another kind of token or holds an escape that PostgreSQL refuses or whose meaning depends on its version.
func AppendString(dst, sql []byte, t Token) (out []byte, ok bool) {
	if t.Kind == UString {
		return appendU(dst, sql, t, '\'')
	}
	return appendSimple(dst, sql[t.Start:t.End], t.Kind)
}

// appendSimple is AppendString for what is not U&.
func appendSimple(dst, text []byte, kind TokenKind) (out []byte, ok bool) {
	switch kind {
	case String:
		return parts(dst, text, false)
	case EString:
		return parts(dst, text[1:], true)
	case Dollar:
		tag := bytes.IndexByte(text[1:], '$') + 2
		return append(dst, text[tag:len(text)-tag]...), true
	}
	return dst, false
}

// parts appends the text of each part of a literal, whose first quote is text[0] and which may have continuations.
func parts(dst, text []byte, escapes bool) (out []byte, ok bool) {
	s := NewScanner(text)
	for at := 0; at >= 0; at = s.continuation() {
		var n int
		// Two calls rather than a function value, through which dst would escape to the heap.
		if escapes {
			dst, n = unescape(dst, text[at:], '\'')
		} else {
			dst, n = undouble(dst, text[at:], '\'')
		}
		if n < 0 {
			return dst, false
		}
		s.pos = at + n
	}
	return dst, true
}

// undouble appends what is between the quotes at the start of text, doubled ones as one. It returns the length of text that
// it read, both quotes included.
func undouble(dst, text []byte, quote byte) (out []byte, n int) {
	i := bytes.IndexByte(text, quote) + 1
	for i < len(text) {
		j := bytes.IndexByte(text[i:], quote)
		if j < 0 {
			break
		}
		dst = append(dst, text[i:i+j]...)
		if i += j + 1; i >= len(text) || text[i] != quote {
			return dst, i
		}
		dst = append(dst, quote)
		i++
	}
	return dst, -1
}

// unescape is undouble for literals with backslash escapes.
func unescape(dst, text []byte, quote byte) (out []byte, n int) {
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			if dst, n = escape(dst, text[i+1:]); n < 0 {
				return dst, -1
			}
			i += 1 + n
		case c != quote:
			dst = append(dst, c)
			i++
		case i+1 < len(text) && text[i+1] == quote:
			dst = append(dst, quote)
			i += 2
		default:
			return dst, i + 1
		}
	}
	return dst, -1
}

// escape appends what the escape at the start of text, behind its backslash, stands for, and returns its length or -1.
func escape(dst, text []byte) (out []byte, n int) {
	switch c := text[0]; c {
	case 'b', 'f', 'n', 'r', 't':
		return append(dst, "\b\f\n\r\t"[strings.IndexByte("bfnrt", c)]), 1
	case 'v':
		return dst, -1 // a vertical tab since PostgreSQL 18, the letter before
	case '0', '1', '2', '3', '4', '5', '6', '7':
		v := 0
		for n < 3 && n < len(text) && text[n] >= '0' && text[n] <= '7' {
			v = v<<3 | int(text[n]-'0')
			n++
		}
		return appendByte(dst, v, n)
	case 'x':
		v, n := digits(text[1:], 2)
		if n == 0 {
			return append(dst, 'x'), 1
		}
		return appendByte(dst, v, n+1)
	case 'u', 'U':
		return unicodeEscape(dst, text)
	default:
		return append(dst, c), 1
	}
}

// appendByte appends a byte given by its number, which PostgreSQL refuses to be zero; \777 is taken modulo 256.
func appendByte(dst []byte, v, n int) ([]byte, int) {
	if v&0xff == 0 {
		return dst, -1
	}
	return append(dst, byte(v)), n
}

// unicodeEscape appends the character of \uXXXX or \UXXXXXXXX, text beginning behind the backslash. A first half of a
// surrogate pair must be followed by the second.
func unicodeEscape(dst, text []byte) ([]byte, int) {
	v, n := codeUnit(text)
	if n < 0 {
		return dst, -1
	}
	if utf16.IsSurrogate(rune(v)) {
		if n+1 >= len(text) || text[n] != '\\' || lower(text[n+1]) != 'u' {
			return dst, -1
		}
		low, m := codeUnit(text[n+1:])
		if v = int(utf16.DecodeRune(rune(v), rune(low))); m < 0 || v == utf8.RuneError {
			return dst, -1
		}
		n += 1 + m
	}
	return appendRune(dst, v, n)
}

// codeUnit reads u and four digits or U and eight, and returns the length or -1.
func codeUnit(text []byte) (v, n int) {
	size := 4
	if text[0] == 'U' {
		size = 8
	}
	if v, n = digits(text[1:], size); n != size {
		return 0, -1
	}
	return v, 1 + n
}

func appendRune(dst []byte, v, n int) ([]byte, int) {
	if v == 0 || v > utf8.MaxRune || utf16.IsSurrogate(rune(v)) {
		return dst, -1
	}
	return utf8.AppendRune(dst, rune(v)), n
}

// digits reads up to most hexadecimal digits and returns their value and number.
func digits(text []byte, most int) (v, n int) {
	for n < most && n < len(text) && hex(text[n]) >= 0 {
		v = v<<4 | hex(text[n])
		n++
	}
	return v, n
}
