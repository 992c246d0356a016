package scram

import (
	"fmt"
	"strings"
)

// reader takes a message apart: attributes "x=value", separated by commas.
type reader struct{ rest string }

// attribute reads the next attribute, whatever its letter.
func (r *reader) attribute() (letter byte, value string, err *Error) {
	if r.rest == "" {
		return 0, "", malformed("Attribute expected, but found end of string.")
	}
	letter = r.rest[0]
	if !('A' <= letter && letter <= 'Z' || 'a' <= letter && letter <= 'z') {
		return 0, "", malformed(fmt.Sprintf("Attribute expected, but found invalid character %s.", show(letter)))
	}
	if len(r.rest) < 2 || r.rest[1] != '=' {
		return 0, "", malformed(fmt.Sprintf("Expected character %q for attribute %s.", "=", show(letter)))
	}
	value, r.rest, _ = strings.Cut(r.rest[2:], ",")
	return letter, value, nil
}

// value reads the next attribute, which must be the named one.
func (r *reader) value(want byte) (string, *Error) {
	letter, value, err := r.attribute()
	if err == nil && letter != want {
		err = malformed(fmt.Sprintf("Expected attribute %s but found %s.", show(want), show(letter)))
	}
	return value, err
}

// comma reads a comma.
func (r *reader) comma(otherwise string) *Error {
	if r.rest == "" || r.rest[0] != ',' {
		return malformed(fmt.Sprintf(otherwise, r.next()))
	}
	r.rest = r.rest[1:]
	return nil
}

// next shows the next byte for an error message.
func (r *reader) next() string {
	if r.rest == "" {
		return "end of string"
	}
	return show(r.rest[0])
}

// show makes a byte of a client's harmless in a message.
func show(c byte) string {
	if 0x21 <= c && c <= 0x7e {
		return `"` + string(rune(c)) + `"`
	}
	return fmt.Sprintf("0x%02x", c)
}

// clientFirst is client-first-message (RFC 5802 section 7).
//
//	gs2-cbind-flag "," [authzid] "," | n=user "," r=nonce ["," extensions]
type clientFirst struct {
	flag    byte   // 'n', 'y' or 'p'
	binding string // the name after "p="
	gs2     string // the gs2 header, both commas included
	bare    string // what follows it
	nonce   string
}

func parseClientFirst(message string) (m clientFirst, err *Error) {
	r := reader{message}
	if r.rest == "" {
		return m, malformed("The message is empty.")
	}
	m.flag = r.rest[0]
	switch m.flag {
	case 'n', 'y':
		r.rest = r.rest[1:]
		if err = r.comma("Comma expected, but found %s."); err != nil {
			return m, err
		}
	case 'p':
		if m.binding, err = r.value('p'); err != nil {
			return m, err
		}
	default:
		return m, malformed(fmt.Sprintf("Unexpected channel-binding flag %s.", show(m.flag)))
	}
	if strings.HasPrefix(r.rest, "a") {
		return m, &Error{Kind: Unsupported, Message: "client uses authorization identity, but it is not supported"}
	}
	if err = r.comma("Unexpected attribute %s in client-first-message."); err != nil {
		return m, err
	}
	m.gs2, m.bare = message[:len(message)-len(r.rest)], r.rest
	return m, m.parseBare(&r)
}

func (m *clientFirst) parseBare(r *reader) (err *Error) {
	if strings.HasPrefix(r.rest, "m") {
		return &Error{Kind: Unsupported, Message: "client requires an unsupported SCRAM extension"}
	}
	if _, err = r.value('n'); err != nil { // ignored: the name of the startup packet counts
		return err
	}
	if m.nonce, err = r.value('r'); err != nil {
		return err
	}
	if m.nonce == "" || strings.ContainsFunc(m.nonce, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
		return &Error{Kind: Malformed, Message: "non-printable characters in SCRAM nonce"}
	}
	for r.rest != "" {
		if _, _, err = r.attribute(); err != nil {
			return err
		}
	}
	return nil
}

// clientFinal is client-final-message.
//
//	c=binding "," r=nonce ["," extensions] | "," p=proof
type clientFinal struct {
	binding      string // base64
	nonce        string
	withoutProof string
	proof        []byte // keySize bytes
}

func parseClientFinal(message string) (m clientFinal, err *Error) {
	r := reader{message}
	if m.binding, err = r.value('c'); err != nil {
		return m, err
	}
	if m.nonce, err = r.value('r'); err != nil {
		return m, err
	}
	for {
		start := len(message) - len(r.rest)
		letter, value, err := r.attribute() // extensions are ignored
		if err != nil {
			return m, err
		}
		if letter != 'p' {
			continue
		}
		proof, ok := decode(value)
		if !ok || len(proof) != keySize {
			return m, malformed("Malformed proof in client-final-message.")
		}
		// A comma after the proof is garbage too; Cut has eaten it when nothing follows.
		if start+len("p=")+len(value) != len(message) {
			return m, malformed("Garbage found at the end of client-final-message.")
		}
		m.proof, m.withoutProof = proof, message[:start-1]
		return m, nil
	}
}
