package session

import (
	"slices"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// wholeFrame is the size up to which a frame is waited for before it is judged. Longer ones are judged by their beginning
// and stream through.
const wholeFrame = 16 << 10

// maxNames is how much of a frame is waited for to see the names at its beginning. A driver with longer names would like
// it bigger; PostgreSQL itself cuts no name but drivers use tens of bytes.
const maxNames = 48 << 10

// errFunctionInBatch refuses a FunctionCall where the protocol has no place for it, and libpq does not send it either.
// PostgreSQL 18 takes it, and then fails the first query behind the batch's Sync with XX000 "unexpected state STARTED": that
// may be another client's.
var errFunctionInBatch = pgerr.New(pgerr.FeatureNotSupported, "function calls by protocol are not supported inside a pipeline").
	WithHint("Send Sync before them.")

// function handles FunctionCall.
func (s *Session) function(st *Step) verdict {
	if s.Decision.Tier.Guard {
		if s.srv.skipToSync {
			return drop
		}
		return s.refuseQuery(st, kFunction, guarded("permission denied: function calls by protocol are refused on this tier", "Call the function in a SELECT."))
	}
	switch v := s.srv; {
	case v.skipToSync:
	case s.inBatch:
		return s.refuseQuery(st, kFunction, errFunctionInBatch)
	case v.prefix.pending && v.fifo.ends == 0, v.fifo.hasCopyEnd():
		return s.functionLater(st)
	}
	return s.expect(kFunction)
}

// functionLater makes a FunctionCall wait that the server might meet in a batch: the one that a prefix has begun, or one whose
// Sync a copy may have swallowed.
func (s *Session) functionLater(st *Step) verdict {
	if p := &s.srv.prefix; !p.flushed {
		p.flushed = p.pending
		st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Flush))
	}
	s.drains, s.backlog = true, true
	return more
}

// query handles a simple query. It destroys the unnamed statement (PostgreSQL documentation, "Extended Query").
func (s *Session) query(st *Step, size int, frame []byte) verdict {
	v := s.srv
	if size <= wholeFrame && len(frame) < size {
		return more
	}
	switch {
	case v.skipToSync && s.inspects:
		// The server would discard it, unless a Sync has reached it that pgtier took for part of a copy: unseen, it must not go.
		return drop
	case v.skipToSync:
		s.inBatch = false
		return pass
	}
	if s.inspects {
		switch {
		case size > maxRemembered:
			return s.refuseQuery(st, kQuery, errTooLong)
		case len(frame) < size:
			return s.hold(frame)
		}
		if e := s.forbidden(textOf(frame[wire.HeaderSize:]), false); e != nil {
			return s.refuseQuery(st, kQuery, e)
		}
	}
	if !s.pooled && len(frame) < size {
		v.fifo.push(s.simple())
		return pass
	}
	if len(frame) < size {
		return s.longQuery(frame, size)
	}
	return s.wholeQuery(st, frame)
}

// simple returns the request of a simple query. It ends the batch before it, if that has not failed.
func (s *Session) simple() request {
	r := s.closeUnnamed(request{kind: kQuery, alters: s.inBatch})
	s.inBatch, s.bound, s.copySent = false, false, false
	return r
}

// wholeQuery handles a simple query all of which is there.
func (s *Session) wholeQuery(st *Step, frame []byte) verdict {
	v := s.srv
	discards := s.shared && v.status == wire.Idle && s.alone() && isDiscardAll(textOf(frame[wire.HeaderSize:]))
	if discards && v.fifo.len() > 0 {
		return s.discardLater(st, len(frame))
	}
	sql, rewritten := s.answerShow(frame[wire.HeaderSize:], len(frame)-wire.HeaderSize)
	alters, shows := false, false
	if !rewritten {
		n := noteOf(textOf(frame[wire.HeaderSize:]))
		shows = n != nil && n.shows
		if alters = n != nil && (n.forgets || n.executes); alters && s.mustWait([]byte("?")) {
			return more
		}
		if wait, e := s.listens(st, n, len(frame) <= wholeFrame); wait {
			return more
		} else if e != nil {
			return s.refuseQuery(st, kQuery, e)
		}
		if e := s.readsSequence(st, n); e != nil {
			return s.refuseQuery(st, kQuery, e)
		}
		s.remember(n)
		sql, rewritten = s.named2sql(st, n, frame)
	}
	r := s.simple()
	r.alters, r.shows = r.alters || alters, shows
	v.fifo.push(r)
	if discards {
		st.ToServer.Put(append(st.ToServer.Own(), frame...))
		s.afterDiscard(st)
		return taken
	}
	if !rewritten {
		return pass
	}
	st.ToServer.Put(wire.AppendQuery(st.ToServer.Own(), sql))
	return taken
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
	if !s.pooled && !s.inspects {
		s.rememberParse(size, frame)
		return s.expect(kParse)
	}
	return s.parseWhole(st, size, frame, false)
}

// parseWhole handles a Parse whose name is visible; rewritten says that frame is not the client's own bytes.
func (s *Session) parseWhole(st *Step, size int, frame []byte, rewritten bool) verdict {
	s.opening, s.inBatch = !s.inBatch, true
	v := s.srv
	name, body, ok := wire.CString(frame[wire.HeaderSize:])
	switch {
	case !ok:
		return s.incomplete(st, size, frame)
	case v.skipToSync:
		return drop
	case s.pooled && len(name) > 0 && s.mustWait(name):
		return more
	case s.inspects && size > maxRemembered:
		return s.refuseParse(st, errTooLong)
	case s.inspects && len(frame) < size:
		return s.hold(frame)
	}
	if e := s.forbidden(textOf(body), true); e != nil {
		return s.refuseParse(st, e)
	}
	switch {
	case !s.pooled:
		s.rememberParse(size, frame)
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

// parseNamed prepares a shared statement under the client's name. A server that has it already is not asked again.
func (s *Session) parseNamed(st *Step, name string, length int, body []byte) verdict {
	v := s.srv
	q := s.newStatement(length, body)
	s.name(name, q)
	s.preparesSequence(st, q.note)
	if v.prepared.use(q) {
		if v.settled() && v.status != wire.FailedTx {
			v.fifo.push(request{kind: kParse, mode: faked, stmt: q, name: name})
			return drop
		}
		s.evict(st, q) // in a failed transaction, or one that may be, Parse is the server's to refuse
	} else {
		s.makeRoom(st)
	}
	v.prepared.add(q)
	v.fifo.push(request{kind: kParse, stmt: q, name: name})
	st.ToServer.Put(appendParse(st.ToServer.Own(), q.name, body, length))
	return taken
}

// newStatement returns the statement whose body is length bytes; body holds what has arrived of them.
func (s *Session) newStatement(length int, body []byte) *statement {
	whole := len(body) == length
	kept := s.keeps(length)
	if kept && whole && length <= wholeFrame {
		return s.texts.take(body, s.reads())
	}
	q := s.texts.takeSolo()
	q.size, q.unkept = uint32(length), !kept
	if kept {
		q.body = append(q.body, body...)
		if !whole {
			s.saving = q
		}
	}
	return q
}

// parseAgain handles a name that is taken: the server itself shall say so, in its turn and with what that does to a
// transaction. It is made to know the client's name for a moment; sync closes it again.
func (s *Session) parseAgain(st *Step, name string, frame []byte) verdict {
	if s.srv.prepared.named(name) == nil {
		s.putStray(st, name)
	}
	st.ToServer.Put(append(st.ToServer.Own(), frame...))
	s.srv.fifo.push(request{kind: kParse})
	return taken
}

// putStray gives the server an empty statement of the client's name. It is closed again as soon as the server has nothing
// to do: another client may not meet it.
func (s *Session) putStray(st *Step, name string) {
	own := appendClose(st.ToServer.Own(), name)
	st.ToServer.Put(appendParse(own, name, []byte{0, 0, 0}, 3))
	s.srv.fifo.push(request{kind: kClose, mode: skipped, own: ownClose})
	s.srv.fifo.push(request{kind: kParse, mode: skipped, own: ownParse})
	if !slices.Contains(s.strays, name) {
		s.strays = append(s.strays, name)
	}
}

// closeStray sees to it that the server does not know the client's name, which the client does not know either.
func (s *Session) closeStray(st *Step, name string) {
	if slices.Contains(s.strays, name) {
		s.srv.fifo.push(request{kind: kClose, mode: skipped, own: ownClose})
		st.ToServer.Put(appendClose(st.ToServer.Own(), name))
	}
}

// tidyUp closes what putStray left, in a batch of its own. That may not run into a copy, so nothing may be outstanding.
func (s *Session) tidyUp(st *Step) {
	own := st.ToServer.Own()
	for _, name := range s.strays {
		own = appendClose(own, name)
		s.srv.fifo.push(request{kind: kClose, mode: skipped, own: ownClose})
	}
	st.ToServer.Put(wire.AppendEmpty(own, wire.Sync))
	s.srv.fifo.push(request{kind: kSync, mode: skipped, own: ownClose})
	s.strays = nil
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
