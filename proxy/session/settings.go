package session

import (
	"maps"
	"sort"
	"strings"
	"unique"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Settings is an immutable set of run-time parameters (GUCs) and their values. Equal sets are the same handle, so "does
// this server already look like that client wants" is one comparison, and thousands of clients with the same settings
// share one copy. The zero value is not usable; NoSettings is the empty set.
//
// The handle's string is { name \0 value \0 } ..., names in lower case and sorted.
type Settings struct{ h unique.Handle[string] }

// NoSettings is the empty set: everything as the server's login has it.
var NoSettings = Settings{unique.Make("")}

// Setting is one parameter and its value.
type Setting struct{ Name, Value string }

// NewSettings makes a set; of a name that occurs twice the later value holds, as in PostgreSQL. A value that has both a
// backslash and bytes outside ASCII is refused with 22023: it could not be quoted safely in every client encoding.
func NewSettings(list []Setting) (Settings, *pgerr.Error) {
	values := make(map[string]string, len(list))
	for _, p := range list {
		if !quotable(p.Value) || !quotable(p.Name) {
			return NoSettings, pgerr.Fatal(pgerr.InvalidParameterValue, "invalid value for parameter %q", p.Name).
				WithHint("pgtier does not accept a backslash together with characters outside ASCII in a startup parameter.")
		}
		values[strings.ToLower(p.Name)] = p.Value
	}
	return fromMap(values), nil
}

func fromMap(values map[string]string) Settings {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		b.WriteByte(0)
		b.WriteString(values[name])
		b.WriteByte(0)
	}
	return Settings{unique.Make(b.String())}
}

// size is how many bytes the set takes.
func (s Settings) size() int { return len(s.h.Value()) }

// Map returns the set as a new map.
func (s Settings) Map() map[string]string {
	values := make(map[string]string)
	rest := s.h.Value()
	for rest != "" {
		var name, value string
		name, rest, _ = strings.Cut(rest, "\x00")
		value, rest, _ = strings.Cut(rest, "\x00")
		values[name] = value
	}
	return values
}

// value returns what the set has for name, which is in lower case.
func (s Settings) value(name string) (value string, ok bool) {
	rest := s.h.Value()
	for rest != "" {
		var n, v string
		n, rest, _ = strings.Cut(rest, "\x00")
		v, rest, _ = strings.Cut(rest, "\x00")
		if n == name {
			return v, true
		}
	}
	return "", false
}

// hurries reports whether pgtier's own statements may run out of time on a server with these settings. What a client sends
// behind one that failed would run with somebody else's settings, so such a statement is waited for.
func (s Settings) hurries() bool {
	limit, _ := s.value("statement_timeout")
	return limit != "" && limit != "0"
}

// custom reports whether there is a parameter of an extension among them, whose name has a dot. RESET leaves an unknown one
// behind, empty: that is no longer the session of a new connection.
func (s Settings) custom() bool {
	for name := range s.Map() {
		if strings.Contains(name, ".") {
			return true
		}
	}
	return false
}

// With returns the set with name = value.
func (s Settings) With(name, value string) Settings {
	values := s.Map()
	values[strings.ToLower(name)] = value
	return fromMap(values)
}

// Without returns the set without name.
func (s Settings) Without(name string) Settings {
	values := s.Map()
	delete(values, strings.ToLower(name))
	return fromMap(values)
}

// under returns the set with top on top of it.
func (s Settings) under(top Settings) Settings {
	values := s.Map()
	maps.Copy(values, top.Map())
	return fromMap(values)
}

// appendChange appends one Query frame that turns a server with settings from into one with settings to. A parameter that
// only from has goes back to the server's default.
//
// Who the session is comes off first and on last: the other settings may need the login's own rights, and setting
// session_authorization unsets role.
func appendChange(dst []byte, from, to Settings) []byte {
	have, want := from.Map(), to.Map()
	dst, at := wire.Begin(dst, wire.Query)
	dst = appendUnset(dst, have, "role")
	dst = appendUnset(dst, have, "session_authorization")
	for _, name := range sortedNames(want) {
		if v, ok := have[name]; !isIdentity(name) && (!ok || v != want[name]) {
			dst = appendSet(dst, want, name)
		}
	}
	for _, name := range sortedNames(have) {
		if _, ok := want[name]; !ok && !isIdentity(name) {
			dst = appendUnset(dst, have, name)
		}
	}
	dst = appendSet(dst, want, "session_authorization")
	dst = appendSet(dst, want, "role")
	return wire.End(append(dst, 0), at)
}

// isIdentity reports whether the parameter says who the session is.
func isIdentity(name string) bool { return name == "role" || name == "session_authorization" }

// appendUnset appends what takes a parameter of a server that has it back to its default.
func appendUnset(dst []byte, have map[string]string, name string) []byte {
	if _, ok := have[name]; !ok {
		return dst
	}
	return append(appendParameter(append(dst, "RESET "...), name), ';')
}

// appendSet appends what sets a parameter that is wanted. It is SET wherever that can say it: set_config costs a planned
// SELECT, and on a hardened database the session's role may not call it.
func appendSet(dst []byte, want map[string]string, name string) []byte {
	value, ok := want[name]
	if !ok {
		return dst
	}
	elements, ok := []string{value}, true
	if quotedList[name] {
		elements, ok = splitList(value)
	}
	if !ok { // the server's own error follows
		dst = append(appendLiteral(append(dst, "SELECT pg_catalog.set_config("...), name), ',')
		return append(appendLiteral(dst, value), ",false);"...)
	}
	dst = append(appendParameter(append(dst, "SET "...), name), " TO "...)
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		if isLabel(name) {
			dst = appendBytes(dst, e)
		} else {
			dst = appendLiteral(dst, e)
		}
	}
	return append(dst, ';')
}

// appendParameter appends the name of a parameter, each part of it quoted unless it is known to need no quotes.
func appendParameter(dst []byte, name string) []byte {
	if plain[name] {
		return append(dst, name...)
	}
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = sqlscan.QuoteIdent(dst, part)
	}
	return dst
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// plain are the parameters that clients set most.
var plain = map[string]bool{
	"application_name": true, "bytea_output": true, "client_encoding": true, "client_min_messages": true,
	"datestyle": true, "default_transaction_isolation": true, "default_transaction_read_only": true,
	"extra_float_digits": true, "idle_in_transaction_session_timeout": true, "intervalstyle": true, "jit": true,
	"lock_timeout": true, "scram_iterations": true, "standard_conforming_strings": true, "statement_timeout": true,
	"timezone": true, "work_mem": true,
}

// quotable reports whether s can be a string literal whatever the server connection's client_encoding and
// standard_conforming_strings are. The trail byte of a multi-byte character can be a backslash in SJIS, BIG5, GBK, UHC,
// GB18030 and JOHAB, so the two must not meet; it is never a quote.
func quotable(s string) bool {
	backslash, wide := false, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == 0:
			return false
		case s[i] == '\\':
			backslash = true
		case s[i] >= 0x80:
			wide = true
		}
	}
	return !backslash || !wide
}

// appendBytes appends s as a string literal that is ASCII, so that it means the same in every client encoding: s is in the
// encoding of the database.
func appendBytes(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, "E'"...)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' || c == '\\' || c < ' ' || c > '~':
			dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '\'')
}

// appendLiteral appends s, which is quotable, as a string literal.
func appendLiteral(dst []byte, s string) []byte {
	if strings.IndexByte(s, '\\') >= 0 {
		dst = append(dst, 'E')
	}
	dst = append(dst, '\'')
	for i := 0; i < len(s); i++ {
		if s[i] == '\'' || s[i] == '\\' {
			dst = append(dst, s[i])
		}
		dst = append(dst, s[i])
	}
	return append(dst, '\'')
}
