package session

import "github.com/pgtier/pgtier/proxy/wire"

// A server whose client has left is an orphan: it has no session, what it still answers is dropped, and it cleans itself
// before it goes back to the pool. The loop gives it a bounded time and closes it after that.

// leave detaches the server from a session that ends. When its state allows no return (half a frame sent, copy data
// pending) it is discarded.
func (v *Server) leave(st *Step, s *Session) {
	st.Server = v
	v.session = nil
	if !s.Decision.Tier.Guard {
		v.role = ""
	}
	switch {
	case s.body > 0 && !s.dropBody, v.copyIn, v.inDoubt > 0, v.broken:
		st.Do |= Discard
	case v.clean() && s.pooled && !v.loaded && !s.inBatch && len(s.strays) == 0 && s.pinned == 0 && s.marks == nil && !s.hearing.owes():
		st.Do |= Release
	default:
		s.held = nil
		if s.inBatch || v.skipToSync || v.prefix.pending && v.fifo.ends == 0 {
			v.endBatch(st) // behind a prefix the only Sync: the client's own would have ended the batch
		}
		v.dirty = v.dirty || !s.pooled || len(s.strays) > 0 || s.pinned != 0 || s.marks != nil || s.asking != nil || s.hearing.owes()
		st.Do |= Orphan
		switch {
		case v.prefix.pending:
			v.prefix.cancels = true
		case v.fifo.hasClients():
			st.Do |= CancelServer
		}
		v.cleanUp(st)
	}
}

// endBatch sends the Sync that nobody else will send.
func (v *Server) endBatch(st *Step) {
	st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Sync))
	v.skipToSync = false
	v.fifo.push(request{kind: kSync})
}

// cleanUp takes the next step of an orphan that has nothing outstanding: end the transaction, reset, go home.
func (v *Server) cleanUp(st *Step) {
	st.Server = v
	switch {
	case v.inDoubt > 0:
		st.Do |= Discard
	case v.fifo.len() > 0:
	case v.status != wire.Idle:
		v.send(st, ownRollback, "ROLLBACK")
	case v.loaded:
		st.Do |= Discard
	case v.dirty:
		v.send(st, ownReset, "DISCARD ALL")
	default:
		st.Do |= Release
	}
}
