package session

import (
	"bytes"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// unnamed is a client's unnamed statement. It outlives the transaction that parsed it, so it has to be parsed again on
// another server.
type unnamed struct {
	statement
	valid bool
	rev   uint32 // counts the Parse messages
}

// wholeFrame is the size up to which a frame is waited for before it is judged. Longer ones are judged by their beginning
// and stream through.
const wholeFrame = 16 << 10

// maxNames is how much of a frame is waited for to see the names at its beginning. A driver with longer names would like
// it bigger; PostgreSQL itself cuts no name but drivers use tens of bytes.
const maxNames = 48 << 10

// query handles a simple query. It destroys the unnamed statement (PostgreSQL documentation, "Extended Query").
func (s *Session) query(st *Step, size int, frame []byte) verdict {
	v := s.srv
	s.inBatch = false
	if size <= wholeFrame && len(frame) < size {
		return more
	}
	v.prepared.unnamedOf = nil
	if s.unnamed != nil {
		s.unnamed.valid = false
	}
	if v.skipToSync {
		return pass
	}
	v.fifo.push(request{kind: kQuery})
	if sql, ok := s.answerShow(frame[wire.HeaderSize:], size-wire.HeaderSize); ok {
		st.ToServer.Put(wire.AppendQuery(st.ToServer.Own(), sql))
		return taken
	}
	return pass
}

// parse handles Parse.
//
//	'P' | int32 length | string name \0 | string query \0 | int16 n | n * int32 type
func (s *Session) parse(st *Step, size int, frame []byte) verdict {
	if size <= wholeFrame && len(frame) < size {
		return more
	}
	if sql, ok := s.answerShowParse(frame, size); ok {
		frame = sql
		size = len(sql)
		return s.parseWhole(st, size, frame, true)
	}
	if !s.pooled {
		return s.expect(kParse)
	}
	return s.parseWhole(st, size, frame, false)
}

// parseWhole handles a Parse whose name is visible; rewritten says that frame is not the client's own bytes.
func (s *Session) parseWhole(st *Step, size int, frame []byte, rewritten bool) verdict {
	s.inBatch = true
	v := s.srv
	name, body, ok := wire.CString(frame[wire.HeaderSize:])
	switch {
	case !ok:
		return s.incomplete(st, size, frame)
	case v.skipToSync:
		return drop
	case !s.pooled:
		v.fifo.push(request{kind: kParse})
		st.ToServer.Put(append(st.ToServer.Own(), frame...))
		return taken
	case len(name) == 0:
		return s.parseUnnamed(st, size, frame, body, rewritten)
	case s.named[string(name)] != nil:
		return s.parseAgain(st, string(name), frame)
	}
	return s.parseNamed(st, string(name), size-wire.HeaderSize-len(name)-1, body)
}

func (s *Session) parseUnnamed(st *Step, size int, frame, body []byte, rewritten bool) verdict {
	if s.unnamed == nil {
		s.unnamed = &unnamed{}
	}
	u, v := s.unnamed, s.srv
	u.valid = true
	u.rev++
	u.body = append(u.body[:0], body...)
	if len(frame) < size {
		s.saving = &u.statement
	}
	v.prepared.unnamedOf, v.prepared.unnamedRev = s, u.rev
	v.fifo.push(request{kind: kParse})
	if rewritten {
		st.ToServer.Put(append(st.ToServer.Own(), frame...))
		return taken
	}
	return pass
}

// parseNamed prepares a shared statement under the client's name. A server that has it already is not asked again.
func (s *Session) parseNamed(st *Step, name string, length int, body []byte) verdict {
	v := s.srv
	if s.named == nil {
		s.named = make(map[string]*statement)
	}
	var q *statement
	if whole := len(body) == length; whole && length <= wholeFrame {
		q = s.shared.take(body)
	} else {
		q = s.shared.takeSolo()
		q.body = append(q.body, body...)
		if !whole {
			s.saving = q
		}
	}
	s.named[name] = q
	if v.prepared.use(q) {
		v.fifo.push(request{kind: kParse, mode: faked, stmt: q, name: name})
		return drop
	}
	s.makeRoom(st)
	v.prepared.add(q)
	v.fifo.push(request{kind: kParse, stmt: q, name: name})
	st.ToServer.Put(appendParse(st.ToServer.Own(), q.name, body, length))
	return taken
}

// parseAgain handles a name that is taken: the server itself shall say so, in its turn and with what that does to a
// transaction. It is made to know the client's name for a moment; sync closes it again.
func (s *Session) parseAgain(st *Step, name string, frame []byte) verdict {
	own := st.ToServer.Own()
	if s.stray != name {
		own = appendParse(own, name, []byte{0, 0, 0}, 3)
		s.srv.fifo.push(request{kind: kParse, mode: skipped, own: ownParse})
		s.stray = name
	}
	st.ToServer.Put(append(own, frame...))
	s.srv.fifo.push(request{kind: kParse})
	return taken
}

// bind handles Bind.
//
//	'B' | int32 length | string portal \0 | string statement \0 | ...
func (s *Session) bind(st *Step, size int, frame []byte) verdict {
	if !s.pooled || s.srv.skipToSync {
		return s.expect(kBind)
	}
	portal, rest, ok := wire.CString(frame[wire.HeaderSize:])
	name, rest, ok2 := wire.CString(rest)
	if !ok || !ok2 {
		return s.incomplete(st, size, frame)
	}
	q := s.find(st, name)
	v := s.expect(kBind)
	if q == "" {
		return v
	}
	own, at := wire.Begin(st.ToServer.Own(), wire.Bind)
	own = append(append(own, portal...), 0)
	own = append(append(own, q...), 0)
	own = append(own, rest...)
	st.ToServer.Put(wire.EndLength(own, at, size-1+len(q)-len(name)))
	return taken
}

// describe handles Describe.
//
//	'D' | int32 length | byte 'S' or 'P' | string name \0
func (s *Session) describe(st *Step, size int, frame []byte) verdict {
	if !s.pooled || s.srv.skipToSync {
		return s.expect(kDescribe)
	}
	if len(frame) < size {
		return s.incomplete(st, size, frame)
	}
	if size < wire.HeaderSize+2 || frame[wire.HeaderSize] != 'S' {
		return s.expect(kDescribe)
	}
	name, _, ok := wire.CString(frame[wire.HeaderSize+1:])
	if !ok {
		return s.expect(kDescribe)
	}
	q := s.find(st, name)
	v := s.expect(kDescribe)
	if q == "" {
		return v
	}
	own, at := wire.Begin(st.ToServer.Own(), wire.Describe)
	own = append(append(append(own, 'S'), q...), 0)
	st.ToServer.Put(wire.End(own, at))
	return taken
}

// closeTarget handles Close. A statement stays on the servers, for others.
//
//	'C' | int32 length | byte 'S' or 'P' | string name \0
func (s *Session) closeTarget(st *Step, size int, frame []byte) verdict {
	if !s.pooled || s.srv.skipToSync {
		return s.expect(kClose)
	}
	if len(frame) < size {
		return s.incomplete(st, size, frame)
	}
	if size < wire.HeaderSize+2 || frame[wire.HeaderSize] != 'S' {
		return s.expect(kClose)
	}
	name, _, ok := wire.CString(frame[wire.HeaderSize+1:])
	q := s.named[string(name)]
	if !ok || q == nil {
		if len(name) == 0 && s.unnamed != nil {
			s.unnamed.valid = false
		}
		return s.expect(kClose) // an unknown name is no error, and the server says so
	}
	delete(s.named, string(name))
	s.inBatch = true
	s.srv.fifo.push(request{kind: kClose, mode: faked, stmt: q, name: string(name)})
	return drop
}

// find sees to it that the server has the statement that the client calls name, and returns its name there; "" when the
// frame can go as it is. An unknown name goes as it is: the server's own error follows, and what that does to a
// transaction.
func (s *Session) find(st *Step, name []byte) (serverName string) {
	v := s.srv
	if len(name) == 0 {
		s.restoreUnnamed(st)
		return ""
	}
	q := s.named[string(name)]
	if q == nil {
		if bytes.HasPrefix(name, []byte(serverPrefix)) {
			return strings.Repeat("?", 8) // a guess at a shared statement of somebody else's
		}
		return ""
	}
	if v.prepared.use(q) {
		return q.name
	}
	s.makeRoom(st)
	v.prepared.add(q)
	v.fifo.push(request{kind: kParse, mode: skipped, own: ownParse, stmt: q})
	st.ToServer.Put(appendParse(st.ToServer.Own(), q.name, q.body, len(q.body)))
	s.Counts.InjectedParse++
	return q.name
}

// restoreUnnamed parses the client's unnamed statement on a server that lacks it.
func (s *Session) restoreUnnamed(st *Step) {
	u, v := s.unnamed, s.srv
	if u == nil || !u.valid || v.prepared.unnamedOf == s && v.prepared.unnamedRev == u.rev {
		return
	}
	v.prepared.unnamedOf, v.prepared.unnamedRev = s, u.rev
	v.fifo.push(request{kind: kParse, mode: skipped, own: ownParse})
	st.ToServer.Put(appendParse(st.ToServer.Own(), "", u.body, len(u.body)))
	s.Counts.InjectedParse++
}

// makeRoom evicts the least recently used statement of a full server.
func (s *Session) makeRoom(st *Step) {
	v := s.srv
	q := v.prepared.victim()
	if q == nil {
		return
	}
	v.prepared.remove(q)
	v.fifo.push(request{kind: kClose, mode: skipped, own: ownClose, stmt: q})
	st.ToServer.Put(appendClose(st.ToServer.Own(), q.name))
}

// incomplete waits for more of a frame, within bounds.
func (s *Session) incomplete(st *Step, size int, frame []byte) verdict {
	if len(frame) == size || len(frame) >= maxNames {
		s.close(st, ReasonProtocol, pgerr.Fatal(pgerr.ProtocolViolation, "invalid string in message"))
		return closed
	}
	return more
}

// undoBatch takes back, newest first, what the requests of a failed batch would have changed.
func (v *Server) undoBatch() {
	batch := v.fifo.batch()
	for i := len(batch) - 1; i >= 0; i-- {
		r := &batch[i]
		switch {
		case r.kind == kParse && r.mode != faked && r.stmt != nil:
			v.prepared.remove(r.stmt)
		case r.kind == kParse && r.stmt == nil && r.name == "":
			v.prepared.unnamedOf = nil
			if v.session != nil && v.session.unnamed != nil && r.own == ownNone {
				v.session.unnamed.valid = false
			}
		case r.kind == kClose && r.own == ownClose && r.stmt != nil:
			v.prepared.add(r.stmt)
		}
		if v.session != nil && r.stmt != nil && r.own == ownNone {
			v.session.undo(r)
		}
	}
}

// undo takes back the client's own Parse or Close of a named statement.
func (s *Session) undo(r *request) {
	switch {
	case r.kind == kParse && s.named[r.name] == r.stmt:
		delete(s.named, r.name)
		s.shared.giveBack(r.stmt)
	case r.kind == kClose && s.named[r.name] == nil:
		s.named[r.name] = r.stmt
	case r.kind == kClose:
		s.shared.giveBack(r.stmt)
	}
}

// appendParse appends Parse; body holds what has arrived of length bytes that follow the name.
func appendParse(dst []byte, name string, body []byte, length int) []byte {
	dst, at := wire.Begin(dst, wire.Parse)
	dst = append(append(dst, name...), 0)
	return wire.EndLength(append(dst, body...), at, 4+len(name)+1+length)
}

func appendClose(dst []byte, name string) []byte {
	dst, at := wire.Begin(dst, wire.Close)
	dst = append(append(append(dst, 'S'), name...), 0)
	return wire.End(dst, at)
}
