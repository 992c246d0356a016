package sqlscan

import "unicode/utf16"

// appendU appends the text of a U&"..." or U&'...' token.
func appendU(dst, sql []byte, t Token, quote byte) ([]byte, bool) {
	var (
		raw []byte
		ok  bool
		esc = byte('\\')
		buf [2 * maxName]byte // a name that is longer goes to the heap
	)
	text := sql[t.Start+2 : t.End]
	if quote == '"' {
		var n int
		raw, n = undouble(buf[:0], text, quote)
		text, ok = text[max(n, 0):], n >= 0
	} else {
		raw, ok = parts(buf[:0], text, false)
		s := NewScanner(text)
		s.literal(0, 0, String)
		text = text[s.pos:]
	}
	if s := NewScanner(text); ok && s.skipSpace() && s.skipWord("uescape") {
		esc, ok = s.escapeChar()
	}
	if !ok {
		return dst, false
	}
	return resolve(dst, raw, esc)
}

// resolve appends raw with its escapes resolved: esc XXXX, esc +XXXXXX, or esc twice for itself (str_udeescape in parser.c).
func resolve(dst, raw []byte, esc byte) ([]byte, bool) {
	high := 0 // the first half of a surrogate pair, whose second must come next
	for i := 0; i < len(raw); {
		v, n := int(raw[i]), 1
		if raw[i] == esc {
			if v, n = codePoint(raw[i+1:], esc); n < 0 {
				return dst, false
			}
			n++
		}
		escaped := n > 2
		switch {
		case high != 0:
			r := utf16.DecodeRune(rune(high), rune(v))
			if !escaped || r == '\uFFFD' {
				return dst, false
			}
			dst, _ = appendRune(dst, int(r), 0)
			high = 0
		case escaped && v >= 0xd800 && v < 0xdc00:
			high = v
		case escaped:
			if dst, v = appendRune(dst, v, 0); v < 0 {
				return dst, false
			}
		default:
			dst = append(dst, byte(v))
		}
		i += n
	}
	return dst, high == 0
}

// codePoint reads what follows an escape character: itself again, four digits, or a plus sign and six. It returns the value
// and the length, -1 when it is none of these.
func codePoint(text []byte, esc byte) (v, n int) {
	if len(text) > 0 && text[0] == esc {
		return int(esc), 1
	}
	if v, n = digits(text, 4); n == 4 {
		return v, n
	}
	if len(text) > 0 && text[0] == '+' {
		if v, n = digits(text[1:], 6); n == 6 {
			return v, n + 1
		}
	}
	return 0, -1
}
