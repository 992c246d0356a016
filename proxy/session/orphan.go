package session

import "github.com/pgtier/pgtier/proxy/wire"

// A server whose client has left is an orphan: it has no session, what it still answers is dropped, and it cleans itself
// before it goes back to the pool. The loop gives it a bounded time and closes it after that.
//
// In session mode the server is closed instead, when its transaction has ended, unless the tier says reuse: DISCARD ALL leaves
// libraries behind that functions needed and what these remember (dblink's connections, plperl's %_SHARED), names of custom
// parameters, the schema for temporary tables, the seed of random(). No text tells of all of that, and a client in session
// mode has been promised a session like a direct one.

// leave detaches the server from a session that ends. When its state allows no return (half a frame sent, copy data
// pending) it is discarded.
func (v *Server) leave(st *Step, s *Session) {
	st.Server = v
	v.session = nil
	v.spent = v.spent || s.sole
	if !s.Decision.Tier.Guard {
		v.role = ""
	}
	switch {
	case s.body > 0 && !s.dropBody, v.copyIn, v.inDoubt > 0, v.broken:
		st.Do |= Discard
	case v.clean() && s.pooled && !v.spent && !s.inBatch && len(s.strays) == 0 && s.pinned == 0 && s.marks == nil && !s.hearing.owes():
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
	case v.spent:
		v.terminate(st)
	case v.dirty:
		v.send(st, ownReset, "DISCARD ALL")
	default:
		st.Do |= Release
	}
}

// terminate closes a server that is idle as its client would: pg_stat_database counts the others as abandoned.
func (v *Server) terminate(st *Step) {
	st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Terminate))
	st.Do |= Discard
}
