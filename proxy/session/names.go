package session

import (
	"bytes"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Here are the messages that name a prepared statement: each is rewritten to the name that the statement has on servers,
// and the server is given the statement first if it lacks it.

// bind handles Bind.
//
//	'B' | int32 length | string portal \0 | string statement \0 | ...
func (s *Session) bind(st *Step, size int, frame []byte) verdict {
	if s.srv.skipToSync {
		return s.expect(kBind)
	}
	if !s.pooled {
		return s.bindOwn(size, frame)
	}
	portal, rest, ok := wire.CString(frame[wire.HeaderSize:])
	name, rest, ok2 := wire.CString(rest)
	if !ok || !ok2 {
		return s.incomplete(st, size, frame)
	}
	if s.mustWait(name) {
		return more
	}
	n := s.noteFor(name)
	if wait, e := s.listens(st, n, true); wait {
		return more
	} else if e != nil {
		s.inBatch = true
		return s.refuseParse(st, e)
	}
	if e := s.readsSequence(st, n); e != nil {
		s.inBatch = true
		return s.refuseParse(st, e)
	}
	s.bound = true
	q := s.find(st, name)
	s.remember(n)
	s.srv.bound(portal, n != nil && n.shows)
	if q == "" {
		return s.expect(kBind)
	}
	s.expectOf(kBind, s.named[string(name)])
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
	if s.mustWait(name) {
		return more
	}
	q := s.find(st, name)
	if q == "" {
		return s.expect(kDescribe)
	}
	s.expectOf(kDescribe, s.named[string(name)])
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
	if ok && s.mustWait(name) {
		return more
	}
	q := s.named[string(name)]
	switch {
	case ok && len(name) == 0:
		s.inBatch = true
		s.srv.fifo.push(s.closeUnnamed(request{kind: kClose}))
		return pass
	case !ok || q == nil && !bytes.HasPrefix(name, []byte(serverPrefix)):
		return s.expect(kClose) // an unknown name is no error, and the server says so
	case q != nil:
		s.unname(string(name))
	}
	s.inBatch = true
	if q != nil && !s.srv.settled() {
		s.srv.fifo.push(request{kind: kClose, stmt: q, name: string(name)})
		return pass
	}
	s.srv.fifo.push(request{kind: kClose, mode: faked, stmt: q, name: string(name)})
	return drop
}

// expectOf records a request about q, which may be nil. The server is not skipping.
func (s *Session) expectOf(k kind, q *statement) {
	s.inBatch = true
	s.srv.fifo.push(request{kind: k, stmt: q})
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
		s.closeStray(st, string(name))
		if bytes.HasPrefix(name, []byte(serverPrefix)) {
			return strings.Repeat("?", 8) // a guess at a shared statement of somebody else's
		}
		return ""
	}
	if q = s.reread(name, q); v.prepared.use(q) {
		return q.name
	}
	if q.unkept {
		return strings.Repeat("?", 8) // lost with its server; the server says so
	}
	s.makeRoom(st)
	v.prepared.add(q)
	v.fifo.push(request{kind: kParse, mode: skipped, own: ownParse, stmt: q})
	st.ToServer.Put(appendParse(st.ToServer.Own(), q.name, q.body, len(q.body)))
	s.Counts.InjectedParse++
	return q.name
}

// noteFor returns what running the client's statement called name leaves behind.
func (s *Session) noteFor(name []byte) *note {
	if len(name) > 0 {
		if q := s.named[string(name)]; q != nil {
			return q.note
		}
	} else if s.unnamed != nil {
		return s.unnamed.note
	}
	return nil
}

// makeRoom evicts the least recently used statement of a full server.
func (s *Session) makeRoom(st *Step) {
	v := s.srv
	q := v.prepared.victim()
	if q == nil || s.pinned&overfull != 0 {
		return
	}
	s.evict(st, q)
}

// evict closes a statement on the server.
func (s *Session) evict(st *Step, q *statement) {
	s.srv.prepared.remove(q)
	s.srv.fifo.push(request{kind: kClose, mode: skipped, own: ownClose, stmt: q})
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
		case r.kind == kClose && r.own == ownClose && r.stmt != nil:
			v.prepared.add(r.stmt)
		}
		if v.session != nil && r.stmt != nil && r.own == ownNone {
			v.session.undo(r)
		}
	}
	v.undoUnnamed(len(batch))
}

// undo takes back the client's own Parse or Close of a named statement.
func (s *Session) undo(r *request) {
	switch {
	case r.kind == kParse && s.named[r.name] != nil:
		q := s.named[r.name] // r.stmt, or what reread has put in its place since
		s.unname(r.name)
		s.texts.giveBack(q)
	case r.kind == kClose && s.named[r.name] == nil:
		s.rename(r.name, r.stmt)
	case r.kind == kClose:
		s.texts.giveBack(r.stmt)
	}
}
