package session

import (
	"github.com/pgtier/pgtier/proxy/wire"
)

// FromServer takes bytes that the server sent, in is st's receive buffer. It returns how many it has used; the loop keeps
// the rest and presents it again with what follows.
func (v *Server) FromServer(st *Step, in []byte) (used int) {
	st.Server = v
	s := v.session
	used = v.fromServer(st, in)
	if s != nil {
		s.Counts.ServerBytes += uint64(used)
	}
	return used
}

func (v *Server) fromServer(st *Step, in []byte) (used int) {
	at := 0
	for at < len(in) {
		if v.body == 0 {
			v.answerFaked(st)
		}
		if v.body > 0 {
			n := min(v.body, len(in)-at)
			if !v.dropBody {
				st.ToClient.Pass(at, at+n)
			}
			v.body -= n
			at += n
			continue
		}
		if len(in)-at < wire.HeaderSize {
			break
		}
		typ, size, ok := wire.Header(in[at:])
		if !ok {
			return v.nonsense(st, len(in), "message length out of range")
		}
		end := min(at+size, len(in))
		verdict := v.serverFrame(st, typ, size, in[at:end], at)
		switch verdict {
		case more:
			return at
		case closed:
			return len(in)
		case taken:
			at += size
			continue
		case pass:
			if v.session == nil {
				verdict = drop
			} else {
				st.ToClient.Pass(at, end)
			}
		}
		v.body, v.dropBody = size-(end-at), verdict == drop
		at = end
	}
	if v.body == 0 {
		v.answerFaked(st)
	}
	return at
}

// serverFrame judges one frame against the oldest outstanding request; frame holds as much of it as has arrived.
func (v *Server) serverFrame(st *Step, typ byte, size int, frame []byte, at int) verdict {
	switch typ {
	case wire.ReadyForQuery:
		return v.ready(st, size, frame, at)
	case wire.ErrorResponse:
		return v.failure(st, size, frame)
	case wire.ParameterStatus:
		return v.parameter(st, size, frame)
	case wire.NoticeResponse:
		return v.mine(v.fifo.first())
	case wire.NotificationResponse:
		return v.notification(st, size, frame)
	}
	r := v.fifo.first()
	if r == nil {
		return v.unexpected(st, typ)
	}
	if r.kind == kPrefix {
		return v.prefixFrame(st, typ, size, frame)
	}
	r.answered, v.inDoubt = true, 0 // it is being answered, so everything before it has been
	verdict := v.mine(r)
	if r.mode == refused {
		return v.unexpected(st, typ) // it cannot have succeeded
	}
	switch typ {
	case wire.DataRow, wire.CopyData, wire.CopyDone:
		if (r.own == ownQuestion || r.own == ownFacts || r.own == ownChannels) && typ == wire.DataRow {
			return v.answerRow(st, size, frame)
		}
		if typ == wire.DataRow && r.naming && verdict == pass {
			return v.nameRow(st, size, frame)
		}
		if r.kind == kQuery || r.kind == kExecute {
			return verdict
		}
	case wire.RowDescription, wire.NoData:
		if r.kind == kQuery && typ == wire.RowDescription && !r.described {
			if r.shows && len(frame) < min(size, wholeFrame) {
				return more
			}
			r.described, r.naming = true, r.shows && describesName(frame)
			return verdict
		}
		if r.kind == kDescribe {
			return v.done(verdict)
		}
	case wire.ParameterDescription:
		if r.kind == kDescribe {
			return verdict
		}
	case wire.CommandComplete, wire.EmptyQueryResponse, wire.PortalSuspended:
		if typ == wire.CommandComplete && verdict == pass && size <= maxTag {
			if len(frame) < size {
				return more
			}
			v.tag(frame)
		}
		if r.kind == kQuery && typ != wire.PortalSuspended {
			r.described = false // the next statement of the text may have rows too
			v.copySucceeded()
			return verdict
		}
		if r.kind == kExecute {
			v.copySucceeded()
			return v.done(verdict)
		}
	case wire.ParseComplete:
		if r.kind == kParse {
			return v.done(verdict)
		}
	case wire.BindComplete:
		if r.kind == kBind {
			return v.done(verdict)
		}
	case wire.CloseComplete:
		if r.kind == kClose {
			return v.done(verdict)
		}
	case wire.FunctionCallResponse:
		if r.kind == kFunction {
			return verdict
		}
	case wire.CopyInResponse, wire.CopyOutResponse:
		if r.kind == kQuery || r.kind == kExecute {
			return v.copyStarts(st, typ, verdict)
		}
	}
	return v.unexpected(st, typ)
}

// maxTag is the longest CommandComplete whose tag matters here: DEALLOCATE ALL.
const maxTag = wire.HeaderSize + len("DEALLOCATE ALL") + 1

// tag looks for the command tags that change what pgtier remembers of the client.
func (v *Server) tag(frame []byte) {
	v.session.hearing.tag(frame)
	if s := v.session; len(frame) > wire.HeaderSize+1 && frame[wire.HeaderSize] == 'D' && frame[wire.HeaderSize+1] != 'O' {
		s.completed(string(frame[wire.HeaderSize : len(frame)-1]))
	}
}

// answerRow takes a row of the answer to pgtier's question for settings.
func (v *Server) answerRow(st *Step, size int, frame []byte) verdict {
	if size > maxParameter {
		v.answer.partial = true
		return drop
	}
	if len(frame) < size {
		return more
	}
	if !v.answer.row(frame) {
		return v.unexpected(st, wire.DataRow)
	}
	return drop
}

// mine returns drop for an answer to pgtier's own request, and for what nobody is there to receive.
func (v *Server) mine(r *request) verdict {
	if v.session == nil || v.session.state == Preparing || r != nil && r.mode == skipped {
		return drop
	}
	return pass
}

// done ends the oldest request.
func (v *Server) done(verdict verdict) verdict {
	r := v.fifo.pop()
	switch {
	case v.session == nil:
	case r.unnames:
		v.session.unnamedDone(&r)
	case r.kind == kClose && r.own == ownNone && r.stmt != nil:
		v.session.texts.giveBack(r.stmt)
	}
	return verdict
}

// settled reports whether it is known where pgtier's own answer to a request would stand, and in what state of the
// transaction: no earlier batch is outstanding. Otherwise the server has to give the answer.
func (v *Server) settled() bool { return v.fifo.ends == 0 && v.inDoubt == 0 }

// answerFaked answers the requests at the head of the FIFO that the server never saw. Called between two frames, so that
// each answer stands in its turn.
func (v *Server) answerFaked(st *Step) {
	for r := v.fifo.first(); r != nil; r = v.fifo.first() {
		switch {
		case r.kind == kCopyEnd: // a mark, not a request
		case r.mode == faked && v.session != nil:
			st.ToClient.Put(wire.AppendEmpty(st.ToClient.Own(), r.kind.completion()))
			if r.kind == kClose && r.stmt != nil {
				v.session.texts.giveBack(r.stmt)
			}
		case r.mode == faked:
		default:
			return
		}
		v.fifo.pop()
	}
}

// nonsense ends both sides: bytes that cannot be understood may be anything.
func (v *Server) nonsense(st *Step, n int, what string) int {
	v.lie(st, what)
	return n
}

func (v *Server) unexpected(st *Step, typ byte) verdict {
	v.lie(st, "unexpected message type "+string(rune(typ)))
	return closed
}
