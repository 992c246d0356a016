package session

import (
	"strings"

	"github.com/pgtier/pgtier/proxy/wire"
)

// SHOW pgtier.tier, pgtier.identity, pgtier.role and pgtier.server are pgtier's to answer: the statement is replaced by a
// SELECT of the literal, so that it behaves like any other in a pipeline, a cursor or a failed transaction.

const showPrefix = "show pgtier."

// answerShow returns what to run instead of the query; body is the string and its zero byte, size their whole length.
func (s *Session) answerShow(body []byte, size int) (sql string, ok bool) {
	if len(body) != size || size < len(showPrefix) || size > 64 {
		return "", false
	}
	text := body[:len(body)-1]
	for i := range showPrefix {
		if text[i]|0x20 != showPrefix[i]|0x20 {
			return "", false
		}
	}
	name := strings.ToLower(strings.TrimRight(string(text[len(showPrefix):]), "; \t\r\n"))
	var value string
	switch name {
	case "tier":
		value = s.Decision.Tier.Name
	case "identity":
		value = s.Decision.Identity
	case "role":
		value = s.Decision.Role
		if value == "" {
			value = s.Decision.Tier.Login
		}
	case "server":
		value = s.srv.Addr
	default:
		return "", false
	}
	if !quotable(value) {
		return "", false
	}
	sql = "SELECT " + string(appendLiteral(nil, value)) + "::pg_catalog.text AS \"pgtier." + name + "\""
	return sql, true
}

// answerShowParse is answerShow for Parse: it returns the frame to use instead.
func (s *Session) answerShowParse(frame []byte, size int) (parse []byte, ok bool) {
	if len(frame) != size || size > 256 {
		return nil, false
	}
	name, body, ok := wire.CString(frame[wire.HeaderSize:])
	if !ok {
		return nil, false
	}
	text, types, ok := wire.CString(body)
	if !ok {
		return nil, false
	}
	sql, ok := s.answerShow(body[:len(text)+1], len(text)+1)
	if !ok {
		return nil, false
	}
	replaced := append(append([]byte(sql), 0), types...)
	return appendParse(nil, string(name), replaced, len(replaced)), true
}
