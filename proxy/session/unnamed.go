package session

// The unnamed statement outlives the transaction that parsed it, so it has to be parsed again on another server, and the
// one that another client left there must not be met.

// unnamed is a client's unnamed statement. It is not changed any more once its text is complete.
type unnamed struct {
	statement
	rev uint32 // tells the session's unnamed statements apart
}

// maxSpare bounds the text whose memory is kept for the next unnamed statement: two of them then cost a busy client
// nothing to allocate, and an idle one little to keep.
const maxSpare = 2 << 10

// parseUnnamed handles Parse of the unnamed statement; rewritten says that frame is not the client's own bytes.
func (s *Session) parseUnnamed(st *Step, size int, frame, body []byte, rewritten bool) verdict {
	v := s.srv
	u := s.spare
	if u == nil {
		u = &unnamed{}
	}
	s.spare = nil
	s.unnamedRev++
	u.rev, u.note = s.unnamedRev, nil
	u.body = u.body[:0]
	if u.unkept = size > maxRemembered; u.unkept {
		s.pinned |= overfull
	} else {
		u.body = append(u.body, body...)
	}
	if len(frame) < size {
		if !u.unkept {
			s.saving = &u.statement
		}
	} else if u.note = noteOfParse(body); u.note != nil && u.note.gone != "" {
		s.standIn(st, u.note.gone)
	}
	s.preparesSequence(st, u.note)
	v.fifo.push(request{kind: kParse, unnames: true, before: s.unnamed})
	s.unnamed, s.unnamedHere = u, true
	v.prepared.hasUnnamed(s, u.rev)
	if rewritten {
		st.ToServer.Put(append(st.ToServer.Own(), frame...))
		return taken
	}
	return pass
}

// closeUnnamed notes that a Query, or Close of the unnamed statement, is sent with the request r. What a failed batch
// discards has not happened, so r remembers what there was.
func (s *Session) closeUnnamed(r request) request {
	r.unnames, r.before = true, s.unnamed
	s.unnamed, s.unnamedHere = nil, true
	s.srv.prepared.hasUnnamed(nil, 0)
	return r
}

// unnamedDone is called when r, which changed the unnamed statement, has been carried out.
func (s *Session) unnamedDone(r *request) {
	if u := r.before; u != nil && s.spare == nil && cap(u.body) <= maxSpare {
		s.spare = u
	}
}

// restoreUnnamed sees to it that the server has the client's unnamed statement, or none if the client has none.
func (s *Session) restoreUnnamed(st *Step) {
	u, p, f := s.unnamed, &s.srv.prepared, &s.srv.fifo
	switch {
	case u != nil && p.unnamedOf == s && p.unnamedRev == u.rev:
	case u != nil && !u.unkept:
		p.hasUnnamed(s, u.rev)
		f.push(request{kind: kParse, mode: skipped, own: ownParse})
		st.ToServer.Put(appendParse(st.ToServer.Own(), "", u.body, len(u.body)))
		s.Counts.InjectedParse++
	case p.unnamedOf != nil || p.unnamedUnknown:
		p.hasUnnamed(nil, 0)
		f.push(request{kind: kClose, mode: skipped, own: ownClose})
		st.ToServer.Put(appendClose(st.ToServer.Own(), ""))
	}
}

// undoUnnamed takes back what the n oldest requests, a batch that has failed, would have done to the unnamed statement.
func (v *Server) undoUnnamed(n int) {
	v.prepared.hasUnnamed(nil, 0)
	v.prepared.unnamedUnknown = true
	if v.session == nil {
		return
	}
	pending := v.fifo.buf[v.fifo.head:]
	for i := range pending[:n] {
		r := &pending[i]
		if !r.unnames {
			continue
		}
		left := r.before
		if i == 0 && r.kind == kParse {
			left = nil // it is the one that failed, after it had dropped the old one
		}
		for j := n; j < len(pending); j++ {
			if pending[j].unnames { // what the client has said since stands
				pending[j].before = left
				return
			}
		}
		v.session.unnamed = left
		return
	}
}

// hasUnnamed notes whose unnamed statement the server has; nil = it has none.
func (p *prepared) hasUnnamed(of *Session, rev uint32) {
	p.unnamedOf, p.unnamedRev, p.unnamedUnknown = of, rev, false
}

// mustWait reports whether a frame that is about statement name cannot be judged yet: what it means depends on a batch that
// the server has been sent and has not answered, and which may fail. The client is not read until it has.
func (s *Session) mustWait(name []byte) bool {
	if s.srv.fifo.unsure == 0 || len(name) == 0 && s.unnamedHere {
		return false
	}
	s.stalled = true
	return true
}
