package session

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Frames in transcripts are written as their type byte and their arguments. From a client:
//
//	Q "sql"   P name "sql"   B portal statement   D S name   D P name   C S name   E [portal]   S   H   X   F
//	d "data"  c  f "why"     hex 00ff..           half N FRAME, the first N bytes of it    rest, what half left out
//
// From a server:
//
//	1 2 3 n s I c V   T ["column"]  t   D ["value"]   C "tag"   Z I|T|E   E code ["text" ["routine"]]   FATAL code ["text"]   N ["text"]
//	S name "value"    G  H   d "data"      A         K
//
// A name is a word, "" is the empty one. "ab"*3 is "ababab".
type frameParser struct {
	tokens     []token
	fromServer bool
	out        []byte
	rest       []byte // what half left out
}

type token struct {
	text   string
	quoted bool
}

func tokenize(line string) ([]token, error) {
	var all []token
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			all, line = append(all, token{word, false}), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		text, _ := strconv.Unquote(quoted)
		line = line[len(quoted):]
		if after, ok := strings.CutPrefix(line, "*"); ok {
			times, rest, _ := strings.Cut(after, " ")
			n, err := strconv.Atoi(times)
			if err != nil {
				return nil, err
			}
			text, line = strings.Repeat(text, n), rest
		}
		all = append(all, token{text, true})
	}
	return all, nil
}

func (p *frameParser) next() string {
	if len(p.tokens) == 0 {
		panic("a frame lacks an argument")
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t.text
}

// maybe returns the next argument when it is quoted, or else what it is by default.
func (p *frameParser) maybe(byDefault string) string {
	if len(p.tokens) > 0 && p.tokens[0].quoted {
		return p.next()
	}
	return byDefault
}

// frames turns the tokens into bytes.
func (p *frameParser) frames() []byte {
	for len(p.tokens) > 0 {
		switch word := p.next(); word {
		case "hex":
			b, err := hex.DecodeString(p.next())
			if err != nil {
				panic(err)
			}
			p.out = append(p.out, b...)
		case "half":
			n, err := strconv.Atoi(p.next())
			if err != nil {
				panic(err)
			}
			at := len(p.out)
			p.frame(p.next())
			p.rest = append([]byte(nil), p.out[at+n:]...)
			p.out = p.out[:at+n]
		case "rest":
			p.out, p.rest = append(p.out, p.rest...), nil
		default:
			p.frame(word)
		}
	}
	return p.out
}

func (p *frameParser) frame(word string) {
	if p.fromServer {
		p.out = p.server(word)
	} else {
		p.out = p.client(word)
	}
}

func (p *frameParser) client(word string) []byte {
	switch word {
	case "Q":
		return wire.AppendQuery(p.out, p.next())
	case "P":
		return frame(p.out, 'P', p.next(), 0, p.next(), 0, 0, 0)
	case "B":
		return frame(p.out, 'B', p.next(), 0, p.next(), 0, 0, 0, 0, 0, 0, 0)
	case "D", "C":
		return frame(p.out, word[0], p.next(), p.next(), 0)
	case "E":
		return frame(p.out, 'E', p.maybe(""), 0, 0, 0, 0, 0)
	case "d":
		return frame(p.out, 'd', p.next())
	case "f":
		return frame(p.out, 'f', p.maybe("stop"), 0)
	case "F":
		return frame(p.out, 'F', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	case "S", "H", "X", "c":
		return wire.AppendEmpty(p.out, word[0])
	}
	panic("unknown client frame " + word)
}

func (p *frameParser) server(word string) []byte {
	switch word {
	case "1", "2", "3", "n", "s", "I", "c":
		return wire.AppendEmpty(p.out, word[0])
	case "T":
		return frame(p.out, 'T', 0, 1, p.maybe("c"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
	case "t":
		return frame(p.out, 't', 0, 0)
	case "D":
		return dataRow(p.out, p.maybe("1"))
	case "row":
		return dataRow(p.out, p.next(), p.next())
	case "C":
		return wire.AppendCommandComplete(p.out, p.next())
	case "Z":
		return wire.AppendReadyForQuery(p.out, p.next()[0])
	case "E", "FATAL":
		return appendError(p.out, word == "FATAL", p.next(), p.maybe("it failed"), p.maybe(""))
	case "N":
		return (&pgerr.Error{Severity: "NOTICE", Code: "00000", Message: p.maybe("take note")}).AppendNotice(p.out)
	case "S":
		return wire.AppendParameterStatus(p.out, p.next(), p.next())
	case "G", "H":
		return frame(p.out, word[0], 0, 0, 1, 0, 0)
	case "d":
		return frame(p.out, 'd', p.next())
	case "A":
		return frame(p.out, 'A', 0, 0, 0, 7, p.maybe("channel"), 0, p.maybe("payload"), 0)
	case "V":
		return frame(p.out, 'V', 0xff, 0xff, 0xff, 0xff)
	case "K":
		return wire.AppendBackendKeyData(p.out, 1, []byte{1, 2, 3, 4})
	}
	panic("unknown server frame " + word)
}

func appendError(dst []byte, fatal bool, code, text, routine string) []byte {
	e := pgerr.New(code, "%s", text)
	if fatal {
		e = e.AsFatal()
	}
	if routine == "" {
		return e.Append(dst)
	}
	return frame(dst, 'E', "S", e.Severity, 0, "C", code, 0, "M", text, 0, "R", routine, 0, 0)
}

func dataRow(dst []byte, values ...string) []byte {
	dst, at := wire.Begin(dst, 'D')
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		if v == "NULL" {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return wire.End(dst, at)
}

// frame appends a frame whose body is made of strings and, as ints, bytes.
func frame(dst []byte, typ byte, parts ...any) []byte {
	dst, at := wire.Begin(dst, typ)
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			dst = append(dst, p...)
		case int:
			dst = append(dst, byte(p))
		}
	}
	return wire.End(dst, at)
}

// describeFrames is the reverse: it writes down the whole frames at the start of b and returns the bytes behind them.
func describeFrames(b []byte, fromServer bool) (text string, rest []byte) {
	var words []string
	for len(b) >= wire.HeaderSize {
		typ, size, ok := wire.Header(b)
		if !ok {
			return strings.Join(append(words, "garbage "+hex.EncodeToString(b)), " "), nil
		}
		if len(b) < size {
			break
		}
		body := b[wire.HeaderSize:size]
		if fromServer {
			words = append(words, describeServer(typ, body))
		} else {
			words = append(words, describeClient(typ, body))
		}
		b = b[size:]
	}
	return strings.Join(words, " "), b
}

// shown is how a string appears in a transcript: long ones by their beginning and their length.
func shown(s string) string {
	if len(s) > 120 {
		return fmt.Sprintf("%q..%d", s[:16], len(s))
	}
	return strconv.Quote(s)
}

func name(s string) string {
	if s == "" || len(s) > 40 || strings.ContainsAny(s, " \"\n") {
		return shown(s)
	}
	return s
}

func strings2(body []byte) (first, second string) {
	a, rest, _ := wire.CString(body)
	b, _, _ := wire.CString(rest)
	return string(a), string(b)
}

func describeClient(typ byte, body []byte) string {
	first, second := strings2(body)
	switch typ {
	case 'Q':
		return "Q " + shown(first)
	case 'f':
		return "f " + shown(first)
	case 'P':
		return "P " + name(first) + " " + shown(second)
	case 'B':
		return "B " + name(first) + " " + name(second)
	case 'D', 'C':
		return string(typ) + " " + first[:1] + " " + name(first[1:])
	case 'd':
		return "d " + shown(string(body))
	case 'E':
		if first != "" {
			return "E " + strconv.Quote(first)
		}
	}
	return string(typ)
}

func describeServer(typ byte, body []byte) string {
	first, second := strings2(body)
	switch typ {
	case 'C':
		return "C " + shown(first)
	case 'Z':
		return "Z " + string(body)
	case 'S':
		return "S " + name(first) + " " + shown(second)
	case 'd':
		return "d " + shown(string(body))
	case 'A':
		if channel, payload := strings2(body[4:]); channel != "channel" {
			return "A " + name(channel) + " " + shown(payload)
		}
	case 'D':
		if value, rest, ok := wire.Value(body[2:]); ok && len(rest) == 0 {
			return "D " + shown(string(value))
		}
	case 'E', 'N':
		return describeError(typ, body)
	}
	return string(typ)
}

func describeError(typ byte, body []byte) string {
	fields := map[byte]string{}
	for len(body) > 1 {
		value, rest, ok := wire.CString(body[1:])
		if !ok {
			break
		}
		fields[body[0]] = string(value)
		body = rest
	}
	word := string(typ)
	if typ == 'N' {
		return word + " " + shown(fields['M'])
	}
	if fields['S'] == "FATAL" {
		word = "FATAL"
	}
	text := word + " " + fields['C'] + " " + shown(fields['M'])
	if fields['H'] != "" {
		text += " hint " + shown(fields['H'])
	}
	return text
}
