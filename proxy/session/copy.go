package session

import "github.com/pgtier/pgtier/proxy/wire"

// A Sync that reaches a server while it reads copy data is ignored: it gets no ReadyForQuery (PostgreSQL documentation,
// "COPY Operations"; src/backend/commands/copyfromparse.c, CopyGetData). If the copy succeeds, all the Syncs that the client
// sent before its end were ignored. If it fails, those that the server met before the failure were, and the others are each
// answered: which is which cannot be known from outside. They are in doubt, unless the client had sent nothing of the copy
// behind them: one that fails before it has met anything, in a trigger, has swallowed nothing. What the server says next
// settles it: a ReadyForQuery that nothing else accounts for answers one of them, and the first message that belongs to a
// later request says that no more are to come. A server is not released before; when there is no later request, a fence is
// sent: an empty query of pgtier's own.

// copyStarts notes that the server reads copy data from here on.
func (v *Server) copyStarts(st *Step, typ byte, verdict verdict) verdict {
	if typ == wire.CopyOutResponse {
		return verdict
	}
	switch {
	case v.session == nil: // nobody is going to end it, and a server that waits for copy data takes no cancel request
		st.Server = v
		st.Do |= Discard
		return closed
	case verdict == drop:
		return v.unexpected(st, typ) // pgtier's own statements copy nothing
	}
	v.copyBegun = true
	v.copySyncs, v.copyIn = v.fifo.takeCopySyncs()
	v.copyTouched = !v.copyIn || v.session.copySent
	if v.copySyncs > 0 && v.fifo.first().kind == kExecute && !v.fifo.endsLater() {
		v.session.inBatch = true // its Sync has not ended it
	}
	return verdict
}

// copySucceeded is called at the CommandComplete of the oldest request.
func (v *Server) copySucceeded() {
	if v.copyBegun {
		v.fifo.takeCopyEnd()
	}
	v.copyBegun, v.copyIn, v.copySyncs = false, false, 0
}

// copyLost reports whether a copy failed in a way that leaves no telling what comes next: with a Sync in doubt, and behind
// its end a request without a Sync of its own before it, which the server runs or skips.
func (v *Server) copyLost() bool {
	if v.copySyncs == 0 || !v.copyTouched || v.fifo.first().kind.ends() {
		return false
	}
	for _, r := range v.fifo.batch()[1:] {
		if r.kind != kCopyEnd {
			return true
		}
	}
	return false
}

// copyFailed is called at an ErrorResponse.
func (v *Server) copyFailed() {
	if v.copyTouched {
		v.inDoubt += v.copySyncs
	} else {
		v.pushCopySyncs()
	}
	v.copyBegun, v.copyIn, v.copySyncs = false, false, 0
}

// answersDoubt reports whether ReadyForQuery answers a Sync in doubt, r being the oldest request.
func (v *Server) answersDoubt(r *request) bool {
	return v.inDoubt > 0 && (r == nil || !r.kind.ends() || r.kind != kSync && !r.answered)
}

// duringCopy handles what a client may send while the server reads copy data.
func (s *Session) duringCopy(typ byte) (v verdict, over bool) {
	switch typ {
	case wire.Flush:
		return pass, false
	case wire.CopyData:
		s.srv.copyTouched = true
		return pass, false
	case wire.Sync:
		s.srv.copySyncs++
		return pass, false
	case wire.CopyDone, wire.CopyFail:
		s.srv.copyIn, s.srv.copyTouched = false, true
		s.srv.fifo.push(request{kind: kCopyEnd})
		return pass, false
	}
	// The client does not know that this is a copy, or the copy has failed and it knows why. If it has not failed, the server
	// ends the connection over such a message; so if there is going to be any answer, the Syncs before it are answered too.
	s.srv.pushCopySyncs()
	s.srv.copyIn = false
	return pass, true
}

// pushCopySyncs expects an answer to each Sync that a copy might have swallowed and has not. Nothing is outstanding behind
// the copy.
func (v *Server) pushCopySyncs() {
	for ; v.copySyncs > 0; v.copySyncs-- {
		v.fifo.push(request{kind: kSync})
		if v.session != nil {
			v.session.inBatch = false
		}
	}
}

// takeCopySyncs removes the Syncs that were sent behind the oldest request, which turned out to be a copy, and returns how
// many; open is true when the client has not sent the end of the copy. When it has sent something else, it did not know of
// the copy, and nothing is removed: see duringCopy.
func (f *fifo) takeCopySyncs() (n int, open bool) {
	from := f.head + 1
	to := from
	for to < len(f.buf) && f.buf[to].kind == kSync {
		to++
	}
	if to < len(f.buf) && f.buf[to].kind != kCopyEnd {
		return 0, false
	}
	open = to == len(f.buf)
	f.remove(from, to)
	return to - from, open
}

// endsLater reports whether the client has ended, behind the oldest request, the batch that this belongs to.
func (f *fifo) endsLater() bool {
	for i := f.head + 1; i < len(f.buf); i++ {
		if f.buf[i].kind.ends() {
			return true
		}
	}
	return false
}

// hasCopyEnd reports whether the client has sent the end of a copy that the server has not confirmed.
func (f *fifo) hasCopyEnd() bool {
	for i := f.head; i < len(f.buf); i++ {
		if f.buf[i].kind == kCopyEnd {
			return true
		}
	}
	return false
}

// takeCopyEnd removes the mark of the end of a copy that has ended: the same query may begin another one.
func (f *fifo) takeCopyEnd() {
	if at := f.head + 1; at < len(f.buf) && f.buf[at].kind == kCopyEnd {
		f.remove(at, at+1)
	}
}

func (f *fifo) remove(from, to int) {
	for i := from; i < to; i++ {
		f.left(&f.buf[i])
	}
	n := copy(f.buf[from:], f.buf[to:])
	clear(f.buf[from+n:])
	f.buf = f.buf[:from+n]
}
