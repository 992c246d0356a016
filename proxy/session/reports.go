package session

import (
	"strconv"
	"strings"
	"time"

	"github.com/pgtier/pgtier/proxy/wire"
)

// What a prefix changes the server reports with the client's first ReadyForQuery behind it, together with what the client has
// changed itself, and only where it differs from what it has reported before: to whoever had the server then. So what comes
// with that ReadyForQuery is held back, and the client is told what is not as it was for the client.

// report0 is a parameter as a server reports it after its login.
type report0 struct {
	lower   string // its name
	value   string
	tracked bool // here; application_name is in label.go
}

// takesReport takes a parameter that comes with the first ReadyForQuery behind a prefix. It reports whether that is all.
func (v *Server) takesReport(name, value []byte) bool {
	if !v.unreported || v.session == nil {
		return false
	}
	for i := range v.login {
		if v.reported[i].Name != string(name) {
			continue
		}
		if expected := v.given(i); expected == string(value) {
			v.reported[i].Value = expected // without a copy: it is so at almost every change of identity
			return true
		}
		v.reported[i].Value = string(value)
		return v.login[i].tracked
	}
	return false
}

// given returns what the prefix has made of the i-th parameter. Of those that are tracked here it is what the client believes
// it to be.
func (v *Server) given(i int) string {
	if value, ok := v.session.worn.value(v.login[i].lower); ok {
		return value
	}
	return v.login[i].value
}

// reportChanges tells the client what its first request behind a prefix has changed.
func (v *Server) reportChanges(st *Step) {
	s := v.session
	if !v.unreported {
		return
	}
	v.unreported = false
	if s == nil {
		return
	}
	for i := range v.login {
		now := v.reported[i]
		if now.Value == v.given(i) {
			continue
		}
		if v.login[i].lower == plainName {
			v.renamed(st, pass, now.Value) // for the second time, if the server has reported it
			continue
		}
		if !v.login[i].tracked {
			continue
		}
		st.ToClient.Put(wire.AppendParameterStatus(st.ToClient.Own(), now.Name, now.Value))
		v.follow(now.Name, now.Value)
	}
}

// follow takes over a tracked parameter that the client has changed.
func (v *Server) follow(name, value string) {
	if s := v.session; quotable(value) && (s.marks == nil || !s.marks.discarded) {
		s.wants(s.want.With(name, value))
		v.current = v.current.With(name, value)
	}
}

// impatient reports whether a server with these settings may end a prefix that nothing is wrong with, so that it is better
// waited for, and another server taken if it fails.
func (s Settings) impatient() bool {
	for _, name := range [...]string{"statement_timeout", "transaction_timeout"} {
		if value, ok := s.value(name); ok && !ample(value) {
			return true
		}
	}
	return false
}

// ample reports whether a timeout, as PostgreSQL shows it or takes it, is none or at least a second: pgtier's statements take
// microseconds.
func ample(value string) bool {
	const plenty = time.Second
	digits := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz ")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return false
	}
	unit, known := map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour}[strings.TrimSpace(value[len(digits):])]
	return known && (n == 0 || time.Duration(min(n, 1<<20))*unit >= plenty)
}
