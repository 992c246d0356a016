package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// ready handles ReadyForQuery: the end of a request, and the only moment at which a server may change hands.
//
//	'Z' | int32 5 | byte status
func (v *Server) ready(st *Step, size int, frame []byte, at int) verdict {
	if size != wire.HeaderSize+1 {
		return v.unexpected(st, wire.ReadyForQuery)
	}
	if len(frame) < size {
		return more
	}
	status := frame[wire.HeaderSize]
	r := v.fifo.first()
	switch {
	case status != wire.Idle && status != wire.InTx && status != wire.FailedTx:
		return v.unexpected(st, wire.ReadyForQuery)
	case v.answersDoubt(r):
		v.inDoubt, v.skipToSync = v.inDoubt-1, false
		r = nil
	case r == nil || !r.kind.ends():
		return v.unexpected(st, wire.ReadyForQuery)
	}
	var ended request
	if r != nil {
		ended = v.fifo.pop()
		if ended.unnames && v.session != nil {
			v.session.unnamedDone(&ended)
		}
		v.fifo.dropCopyEnds()
	}
	v.status, v.copyIn = status, false
	v.reportChanges(st)
	switch {
	case ended.mode == skipped:
		v.ownEnded(st, ended.own)
	case v.session == nil:
		v.cleanUp(st)
	default:
		if !v.session.holdReady() {
			v.session.tellName(st)
			st.ToClient.Pass(at, at+size)
		}
		v.session.requestEnded(st)
	}
	return taken
}

// failure handles ErrorResponse. It ends the extended-protocol batch: the server discards everything up to the next Sync.
// A simple query or a function call goes on to its ReadyForQuery.
func (v *Server) failure(st *Step, size int, frame []byte) verdict {
	if len(frame) < min(size, severitySeen) {
		return more
	}
	r := v.fifo.first()
	if r != nil && r.kind == kPrefix {
		return v.prefixFailed(st, size, frame)
	}
	if r == nil || isFatal(frame) {
		v.toldWhy = v.mine(r) == pass
	}
	if r == nil {
		if v.session == nil { // released in this very step
			st.Server = v
			st.Do |= Discard
		}
		return v.mine(nil) // unsolicited: the server is about to close
	}
	if r.mode == skipped && (r.kind == kQuery || r.own == ownFacts) {
		verdict := v.ownFailed(size, frame)
		if verdict != more && !r.kind.ends() {
			v.abortBatch()
		}
		return verdict
	}
	if !v.retireStale(r, size, frame) || !v.readable(size, frame) {
		return more
	}
	if v.copyLost() {
		return v.unexpected(st, wire.ErrorResponse)
	}
	verdict := v.mine(r)
	if r.mode == refused && verdict == pass {
		st.ToClient.Put(r.err.Append(st.ToClient.Own()))
		verdict = drop
	}
	if r.own == ownParse && v.session != nil {
		verdict = pass // a statement injected for the client failed: it is the client's error
	}
	if verdict == pass && v.session.sequence && isUndefined(frame, size) {
		st.ToClient.Put(appendHint(st.ToClient.Own(), frame, hintSequence))
		verdict = drop
	}
	if r.kind != kSync {
		r.answered, v.inDoubt = true, 0
	}
	v.copyFailed()
	if v.session != nil {
		v.session.hearing.undo()
	}
	if !r.kind.ends() {
		v.abortBatch()
	}
	if v.session == nil && v.skipToSync {
		v.endBatch(st)
	}
	return verdict
}

// abortBatch takes back what the rest of the batch would have done.
func (v *Server) abortBatch() {
	v.undoBatch()
	for r := v.fifo.first(); r != nil; r = v.fifo.first() {
		if r.kind == kSync {
			return
		}
		v.fifo.pop()
	}
	v.skipToSync = true
}

// ownFailed remembers why one of pgtier's own statements failed; what follows from it is decided at its ReadyForQuery.
func (v *Server) ownFailed(size int, frame []byte) verdict {
	if len(frame) < size && size <= maxOwnError {
		return more
	}
	v.ownError = ownError{is: true, code: pgerr.InternalError, message: "unreadable error"}
	if len(frame) < size {
		return drop
	}
	for rest := frame[wire.HeaderSize:]; len(rest) > 1; {
		field := rest[0]
		value, next, ok := wire.CString(rest[1:])
		if !ok {
			break
		}
		switch field {
		case 'C':
			v.ownError.code = string(value)
		case 'M':
			v.ownError.message = string(value)
		}
		rest = next
	}
	return drop
}

// maxOwnError is how much of an error for pgtier's own statement is read. The statements are pgtier's, so are the errors:
// PostgreSQL's are a few hundred bytes.
const maxOwnError = 8 << 10

// tracked are the reported parameters that a client may set and that are its own on every server. The others (server
// version, is_superuser, ...) are facts about a server.
var tracked = map[string]bool{
	"client_encoding": true, "datestyle": true, "default_transaction_read_only": true,
	"intervalstyle": true, "scram_iterations": true, "search_path": true, "standard_conforming_strings": true, "timezone": true,
}

// parameter follows a ParameterStatus.
//
//	'S' | int32 length | string name \0 | string value \0
func (v *Server) parameter(st *Step, size int, frame []byte) verdict {
	if size > maxParameter {
		return v.unexpected(st, wire.ParameterStatus)
	}
	if len(frame) < size {
		return more
	}
	name, rest, ok := wire.CString(frame[wire.HeaderSize:])
	value, _, ok2 := wire.CString(rest)
	if !ok || !ok2 {
		return v.unexpected(st, wire.ParameterStatus)
	}
	if v.takesReport(name, value) {
		return drop
	}
	if !v.report(string(name), string(value)) {
		return v.unexpected(st, wire.ParameterStatus)
	}
	r := v.fifo.first()
	verdict := v.mine(r)
	if lower(string(name)) == plainName && v.session != nil {
		return v.renamed(st, verdict, string(value))
	}
	if r != nil && r.own == ownRestore && v.session != nil {
		return pass // the client has been told of the change that is taken back
	}
	if verdict == pass && tracked[lower(string(name))] {
		v.follow(string(name), string(value))
	}
	return verdict
}

// maxParameter bounds a ParameterStatus. search_path is the longest that PostgreSQL reports; somebody with hundreds of
// schemas would like it bigger.
const maxParameter = 32 << 10

// isFatal reports whether the first field, which is the severity in every server since 7.4, begins with FATAL or PANIC.
func isFatal(frame []byte) bool {
	body := frame[wire.HeaderSize:]
	return len(body) >= 2 && body[0] == 'S' && (body[1] == 'F' || body[1] == 'P')
}

// severitySeen is how much of an ErrorResponse isFatal needs.
const severitySeen = wire.HeaderSize + 2
