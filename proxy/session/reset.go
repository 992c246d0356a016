package session

import (
	"slices"

	"github.com/pgtier/pgtier/proxy/wire"
)

// RESET, RESET ALL and DISCARD ALL take a session back to what it started with. What a client asked for in its startup
// packet came to the server as SET, so the server goes back too far: to what the login started with. The client's own start
// is put back before the client hears that its request has ended, and the parameters are reported to it as they change:
// a client must never believe in another client_encoding than the server's.
//
//	the request ends -> what is at its default? -> the client's settings again -> ReadyForQuery, held until then
//
// Only when the client has sent more requests meanwhile, which the server has begun, is it put back behind those.

// restores reports whether what the client has been running took settings back to their defaults.
func (m *marks) restores() bool {
	return m != nil && (m.discarded || m.resetAll || len(m.resets) > 0)
}

// holdReady reports whether the ReadyForQuery that has just come is to be held back.
func (s *Session) holdReady() bool {
	s.owesReady = s.state == Linked && s.srv.clean() && s.srv.inDoubt == 0 && s.between() && s.marks.restores()
	return s.owesReady
}

// payReady sends the ReadyForQuery that was held back.
func (s *Session) payReady(st *Step) {
	if s.owesReady {
		s.owesReady = false
		s.tellName(st)
		st.ToClient.Put(wire.AppendReadyForQuery(st.ToClient.Own(), wire.Idle))
	}
}

// discarded is called when the server has completed the client's DISCARD ALL.
func (s *Session) discarded() {
	v := s.srv
	v.forget()
	v.Identity = s.Identity
	s.pinned = 0
	s.hearing.deafen()
	s.dropNamed()
	if s.marks == nil {
		s.marks = &marks{}
	}
	s.marks.discarded = true
}

// startOver is what DISCARD ALL means for the settings. On a shared tier the client's own follow in the same write.
func (s *Session) startOver() {
	s.wants(s.startup)
	s.srv.current = NoSettings
	if s.putBack {
		s.srv.current, s.srv.wearer = s.worn, s.want
		s.putBack = false
	}
}

// appendDefaults appends a query for those of the settings that are at their defaults, with NULL for the value. Settings of
// no known extension are not listed by PostgreSQL; they have an empty value instead.
func (m *marks) appendDefaults(q []byte, names []string) []byte {
	first := true
	for _, name := range names {
		if !quotable(name) || !m.isReset(name) {
			continue
		}
		if first {
			q = append(q, " UNION ALL SELECT pg_catalog.lower(name), NULL FROM pg_catalog.pg_settings"+
				" WHERE source OPERATOR(pg_catalog.<>) 'session' AND pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY (ARRAY["...)
		} else {
			q = append(q, ',')
		}
		first = false
		q = appendLiteral(q, name)
	}
	if first {
		return q
	}
	return append(q, "]::pg_catalog.text[])"...)
}

func (m *marks) isReset(name string) bool {
	return m.resetAll || m.discarded || slices.Contains(m.resets, name)
}

// rememberParse takes note of a statement that a session with a server of its own prepares. It is not seen when it runs, so
// it counts as run: one question too many is no harm.
func (s *Session) rememberParse(size int, frame []byte) {
	if len(frame) < size {
		return
	}
	if name, body, ok := wire.CString(frame[wire.HeaderSize:]); ok {
		n := noteOfParse(body)
		s.remember(n)
		s.noteShow(string(name), n)
	}
}
