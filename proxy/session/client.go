package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// verdict is what becomes of a client's frame.
type verdict uint8

const (
	pass   verdict = iota // goes to the server as it came, as it comes
	drop                  // does not go to the server
	taken                 // what has arrived of it has been dealt with; the rest goes to the server as it comes
	more                  // cannot be judged before more of it is here
	closed                // the session is over
)

// FromClient takes bytes that the client sent, in is st's receive buffer. It returns how many it has used; the loop keeps
// the rest, less than one frame's look, and presents it again with what follows.
func (s *Session) FromClient(st *Step, in []byte) (used int) {
	st.Server, s.stalled, s.drains = s.srv, false, false
	used = s.fromClient(st, in)
	s.Counts.ClientBytes += uint64(used)
	return used
}

func (s *Session) fromClient(st *Step, in []byte) (used int) {
	at := 0
	s.backlog = false
	for at < len(in) && s.state != Closed {
		if s.body > 0 {
			n := min(s.body, len(in)-at)
			s.clientBody(st, in, at, n)
			at += n
			continue
		}
		if s.backlog = s.holdsBack(st, in[at]); s.state == Closed {
			return len(in)
		}
		if s.backlog || len(in)-at < wire.HeaderSize {
			break
		}
		typ, size, ok := wire.Header(in[at:])
		if !ok {
			s.violation(st, "invalid message length")
			return len(in)
		}
		end := min(at+size, len(in))
		v := s.clientFrame(st, typ, size, in[at:end])
		switch v {
		case more:
			return at
		case closed:
			return len(in)
		case pass:
			st.ToServer.Pass(at, end)
		}
		s.body, s.dropBody = size-(end-at), v == drop
		at = end
	}
	return at
}

// clientBody takes n bytes of the body of a frame that has been judged.
func (s *Session) clientBody(st *Step, in []byte, at, n int) {
	if s.saving != nil {
		s.saving.body = append(s.saving.body, in[at:at+n]...)
	}
	if !s.dropBody {
		st.ToServer.Pass(at, at+n)
	}
	s.body -= n
	if s.held != nil {
		s.holding(st, in[at:at+n])
		return
	}
	if s.body == 0 && s.saving != nil {
		s.saved(s.saving)
		s.saving = nil
	}
}

// clientFrame judges one frame; frame holds as much of it as has arrived.
func (s *Session) clientFrame(st *Step, typ byte, size int, frame []byte) verdict {
	if typ == wire.Terminate {
		s.close(st, ReasonTerminated, nil)
		return closed
	}
	if s.skip && typ != wire.Sync {
		return drop
	}
	if s.state != Linked {
		return s.withoutServer(st, typ)
	}
	if s.srv.copyIn {
		if v, over := s.duringCopy(typ); !over {
			return v
		}
	}
	switch typ {
	case wire.Query:
		return s.query(st, size, frame)
	case wire.Parse:
		return s.parse(st, size, frame)
	case wire.Bind:
		return s.bind(st, size, frame)
	case wire.Describe:
		return s.describe(st, size, frame)
	case wire.Close:
		return s.closeTarget(st, size, frame)
	case wire.Execute:
		return s.execute(size, frame)
	case wire.Sync:
		return s.sync()
	case wire.Flush:
		return pass
	case wire.Function:
		return s.function(st)
	case wire.CopyData:
		s.copySent = true
		return pass // the server ignores it outside a copy
	case wire.CopyDone, wire.CopyFail:
		return s.expect(kCopyEnd)
	}
	s.violation(st, "invalid frontend message type %d", typ)
	return closed
}

// expect records a request that goes to the server as it is.
func (s *Session) expect(k kind) verdict {
	v := s.srv
	s.inBatch = s.inBatch || k != kFunction && k != kCopyEnd
	s.copySent = k != kExecute && s.copySent
	if v.skipToSync {
		return pass // discarded by the server: no answer will come
	}
	if k == kCopyEnd && (v.fifo.len() == 0 || v.prefix.pending && v.fifo.len() == 1) {
		return drop // of a copy that failed already: the server would ignore it
	}
	v.fifo.push(request{kind: k, alters: k == kExecute && s.marks != nil && s.marks.forgets})
	return pass
}

// sync ends the client's batch.
func (s *Session) sync() verdict {
	v := s.srv
	s.inBatch, s.bound = false, false
	v.skipToSync, s.unnamedHere = false, false
	s.gated = v.prefix.pending // behind it the server would go on whatever has become of the prefix
	v.fifo.push(request{kind: kSync})
	return pass
}

// withoutServer handles a frame that arrives while the session has no server: leftovers of a copy that failed, and
// requests that are refused.
func (s *Session) withoutServer(st *Step, typ byte) verdict {
	switch typ {
	case wire.CopyData, wire.CopyDone, wire.CopyFail:
		return drop // "ignore these after error": src/backend/tcop/postgres.c, PostgresMain
	case wire.Flush:
		return drop
	case wire.Sync:
		if s.skip || s.refusal != nil {
			return s.refuseSync(st)
		}
		return more
	case wire.Query, wire.Function, wire.Parse, wire.Bind, wire.Describe, wire.Close, wire.Execute:
		if s.refusal == nil {
			return more // the loop gets a server first
		}
		return s.refuse(st, typ)
	}
	s.violation(st, "invalid frontend message type %d", typ)
	return closed
}

// violation ends the session with 08P01: what follows in the stream cannot be understood any more.
func (s *Session) violation(st *Step, format string, args ...any) {
	s.close(st, ReasonProtocol, pgerr.Fatal(pgerr.ProtocolViolation, format, args...))
}
