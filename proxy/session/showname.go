package session

import (
	"encoding/binary"

	"github.com/pgtier/pgtier/proxy/wire"
)

// SHOW application_name runs on the server like any other statement, so that it stands in its turn, has its tag, and sees
// what SET LOCAL and ROLLBACK have done. Of its answer only the value is changed, from what the server has to what that is
// to the client.

// noteShow remembers which of its prepared statements a session with a server of its own may show application_name by.
func (s *Session) noteShow(name string, n *note) {
	if n == nil || !n.shows {
		delete(s.shows, name)
		return
	}
	if s.shows == nil {
		s.shows = make(map[string]bool)
	}
	if len(s.shows) < maxShows {
		s.shows[name] = true
	}
}

// maxShows bounds the statements that are remembered for SHOW. No client is known that has two.
const maxShows = 16

// bindOwn handles Bind of a session with a server of its own.
func (s *Session) bindOwn(size int, frame []byte) verdict {
	if s.shows != nil {
		portal, rest, ok := wire.CString(frame[wire.HeaderSize:])
		name, _, ok2 := wire.CString(rest)
		if (!ok || !ok2) && len(frame) < min(size, maxNames) {
			return more
		}
		s.srv.bound(portal, ok2 && s.shows[string(name)])
	}
	return s.expect(kBind)
}

// bound notes what a portal is bound to. One portal is remembered: the latest that shows application_name.
func (v *Server) bound(portal []byte, shows bool) {
	switch {
	case shows:
		v.showing, v.portal = true, string(portal)
	case v.showing && v.portal == string(portal):
		v.showing = false
	}
}

// execute handles Execute.
//
//	'E' | int32 length | string portal \0 | int32 rows
func (s *Session) execute(size int, frame []byte) verdict {
	v := s.srv
	if !v.showing || v.skipToSync {
		return s.expect(kExecute)
	}
	if len(frame) < min(size, maxNames) {
		return more
	}
	verdict := s.expect(kExecute)
	if portal, _, ok := wire.CString(frame[wire.HeaderSize:]); ok && v.portal == string(portal) {
		v.fifo.buf[len(v.fifo.buf)-1].naming = true
	}
	return verdict
}

// describesName reports whether rows are those of SHOW application_name, and not a column of some table.
//
//	'T' | int32 length | int16 fields | { string name \0 | int32 table | int16 column | int32 type | int16 | int32 | int16 } *
func describesName(frame []byte) bool {
	rest := frame[wire.HeaderSize:]
	if len(rest) < 2 || binary.BigEndian.Uint16(rest) != 1 {
		return false
	}
	name, rest, ok := wire.CString(rest[2:])
	return ok && string(name) == plainName && len(rest) >= 4 && binary.BigEndian.Uint32(rest) == 0
}

// nameRow forwards a row of SHOW application_name with what the client's name is to the client.
//
//	'D' | int32 length | int16 1 | int32 length | bytes
func (v *Server) nameRow(st *Step, size int, frame []byte) verdict {
	if size > maxParameter {
		return pass
	}
	if len(frame) < size {
		return more
	}
	rest := frame[wire.HeaderSize:]
	if len(rest) < 2 || binary.BigEndian.Uint16(rest) != 1 {
		return pass
	}
	value, _, ok := wire.Value(rest[2:])
	if !ok || value == nil {
		return pass
	}
	own := v.visible(string(value))
	if own == string(value) {
		return pass
	}
	row, at := wire.Begin(st.ToClient.Own(), wire.DataRow)
	row = binary.BigEndian.AppendUint16(row, 1)
	row = binary.BigEndian.AppendUint32(row, uint32(len(own)))
	st.ToClient.Put(wire.End(append(row, own...), at))
	return drop
}
