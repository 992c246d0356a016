package session

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Who overloads a server is what an operator looks up in pg_stat_activity, where all clients of a tier are one login. So
// servers see another application_name than the client does:
//
//	want   application_name = psql             what the client has asked for, and is told
//	worn   application_name = alice/rw: psql   what servers are given
//
// and, on request, two settings that SQL can read. All of it is for people to read: SQL of the client's can set these to
// anything, so nothing may be decided by them.

// maxLabel is how much PostgreSQL keeps of application_name (NAMEDATALEN - 1), in bytes.
const maxLabel = 63

// labelNames are the settings of identity_setting, readable all that is there for people to read.
var (
	labelNames = []string{"pgtier.identity", "pgtier.tier"}
	readable   = append([]string{plainName}, labelNames...)
)

func isLabel(name string) bool { return slices.Contains(labelNames, name) }

// label is application_name on servers for a client whose own is own.
//
// It begins with what pgtier knows, so no client can have a label that reads as another's: what it says itself is behind the
// first ": ". The tier is always there; a long identity is cut, and so is what the client says.
func label(identity, tier, own string) string {
	b := make([]byte, 0, maxLabel)
	for i, r := range identity {
		n := len(b)
		if b = appendVisible(b, r, identity[i:]); len(b) > maxLabel-len("/")-len(tier) {
			b = b[:n]
			break
		}
	}
	b = append(append(b, '/'), tier...)
	if own == "" || len(b)+len(": ") >= maxLabel {
		return string(b)
	}
	b = append(append(b, ": "...), own...)
	if len(b) <= maxLabel {
		return string(b)
	}
	end := maxLabel
	for end > 0 && !utf8.RuneStart(b[end]) {
		end--
	}
	return string(b[:end])
}

// appendVisible appends r, the first character of rest, as PostgreSQL 16 shows it in application_name: bytes that are not
// printable ASCII as \xHH. Before 16 it makes a question mark of each, and identities would look alike.
func appendVisible(dst []byte, r rune, rest string) []byte {
	const hex = "0123456789abcdef"
	switch {
	case strings.HasPrefix(rest, ": "):
		return append(dst, '?') // ": " is where the client's own name begins
	case r >= ' ' && r <= '~':
		return append(dst, byte(r))
	}
	_, n := utf8.DecodeRuneInString(rest)
	for _, c := range []byte(rest[:n]) {
		dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
	}
	return dst
}

// labels reports whether servers see the client's application_name with a label.
func (s *Session) labels() bool { return s.Decision.Tier.ApplicationName == "label" }

// wants makes x what the client's session must look like. Nothing else changes want.
func (s *Session) wants(x Settings) {
	s.want, s.worn = x, s.wear(x)
}

// wear returns what servers are given when the client wants x.
func (s *Session) wear(x Settings) Settings {
	d := s.Decision
	if !s.labels() && !d.Tier.IdentitySetting {
		return x
	}
	values := x.Map()
	if s.labels() {
		values[plainName] = label(d.Identity, d.Tier.Name, values[plainName])
	}
	if d.Tier.IdentitySetting {
		values["pgtier.identity"], values["pgtier.tier"] = d.Identity, d.Tier.Name
	}
	return fromMap(values)
}

// bare returns the set without what is there for people to read.
func (s Settings) bare() Settings { return s.withLabelsOf(NoSettings) }

// withLabelsOf returns the set with what is there for people to read of another one.
func (s Settings) withLabelsOf(o Settings) Settings {
	values, others := s.Map(), o.Map()
	for _, name := range readable {
		delete(values, name)
		if value, ok := others[name]; ok {
			values[name] = value
		}
	}
	return fromMap(values)
}

// dressForProbe decides what the first server of a session is given: no label, which would cost a message, unless the server
// is to say how the client's own name is written.
func (s *Session) dressForProbe() {
	if s.worn == s.want {
		return
	}
	_, asked := s.want.value(plainName)
	if _, _, plain := splitName(s.want); asked && !plain {
		s.worn = s.want
		return
	}
	s.worn = s.want.withLabelsOf(s.srv.current)
}

// visible returns what a server's application_name is to the client.
func (v *Server) visible(value string) string {
	s := v.session
	if s.marks.restores() && value == v.appName {
		own, _ := s.startup.value(plainName) // RESET has gone back too far: see reset.go
		return own
	}
	if !s.labels() {
		return value
	}
	d := s.Decision
	if own, _ := v.wearer.value(plainName); value == label(d.Identity, d.Tier.Name, own) {
		return own
	}
	// A name that the client has read with current_setting and sets again.
	rest, ok := strings.CutPrefix(value, label(d.Identity, d.Tier.Name, ""))
	if own, labelled := strings.CutPrefix(rest, ": "); ok && (labelled || rest == "") {
		return own
	}
	return value
}

// renamed follows a ParameterStatus for application_name: the client is told when its own name has changed. verdict says
// whose request the server is about.
func (v *Server) renamed(st *Step, verdict verdict, value string) verdict {
	s := v.session
	if verdict != pass || !quotable(value) {
		return verdict
	}
	v.current = v.current.With(plainName, value)
	own := v.visible(value)
	if was, _ := s.want.value(plainName); own != was {
		s.wants(s.want.With(plainName, own))
	}
	s.tellName(st)
	return drop
}

// tellName tells the client what its application_name is, if that is not what it has been told. It stands where reports
// stand, before ReadyForQuery.
func (s *Session) tellName(st *Step) {
	if s.told == s.want {
		return
	}
	was, _ := s.told.value(plainName)
	is, _ := s.want.value(plainName)
	s.told = s.want
	if was != is {
		st.ToClient.Put(wire.AppendParameterStatus(st.ToClient.Own(), plainName, is))
	}
}

// setsLabel returns what a text says that it sets of pgtier's; "" when nothing.
func setsLabel(sql []byte, sum sqlscan.Summary) string {
	if !sum.Kinds.Has(sqlscan.Set) && !sum.Kinds.Has(sqlscan.Reset) && sum.Does&sqlscan.SetsByCall == 0 {
		return ""
	}
	var settings []sqlscan.Setting
	for r := sqlscan.NewReader(sql); r.Next(); {
		st := r.Statement()
		settings, _ = st.Settings(settings[:0])
		for _, x := range settings {
			if strings.HasPrefix(x.Name, "pgtier.") {
				return x.Name
			}
		}
	}
	return ""
}
