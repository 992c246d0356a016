package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Reason is why a session ended: a closed set, shown in the log and counted.
type Reason string

// The reasons.
const (
	ReasonTerminated      Reason = "client_terminated"     // Terminate
	ReasonClientGone      Reason = "client_gone"           // the socket ended without Terminate
	ReasonProtocol        Reason = "protocol_violation"    // the client sent what cannot be understood
	ReasonServerGone      Reason = "server_gone"           // the server ended while the session had it
	ReasonServerLied      Reason = "server_protocol_error" // the server sent what cannot be understood
	ReasonServerFailed    Reason = "own_statement_failed"  // pgtier's own statement failed
	ReasonNoServer        Reason = "no_server"             // no server could be reached or logged in to
	ReasonRefusedSettings Reason = "settings_refused"      // the server refused the client's startup parameters
	ReasonRole            Reason = "role_refused"          // the role of the session may not be taken
	ReasonShutdown        Reason = "shutdown"
	ReasonKilled          Reason = "killed" // by an administrator
	ReasonExpired         Reason = "access_ended"
	ReasonTimeout         Reason = "timeout"
	ReasonHubLost         Reason = "listener_lost"         // the connection that listens for it has ended
	ReasonDeaf            Reason = "notifications_refused" // it does not take its notifications
	ReasonBug             Reason = "bug"
)

// End is how a session ended.
type End struct {
	Reason Reason
	Error  *pgerr.Error // what the client was told; nil when nothing
	Detail string       // for the log only
}

var errShutdown = pgerr.Fatal(pgerr.AdminShutdown, "terminating connection due to administrator command")

// Ended returns how the session ended; nil while it lives.
func (s *Session) Ended() *End { return s.end }

// close ends the session: the last error is sent, the server left, what it holds given back.
func (s *Session) close(st *Step, reason Reason, e *pgerr.Error) {
	if s.state == Closed {
		return
	}
	s.end = &End{Reason: reason, Error: e}
	if e != nil && (s.srv == nil || s.srv.body == 0) { // never into the middle of a frame
		st.ToClient.Put(e.Append(st.ToClient.Own()))
	}
	if s.state == Waiting {
		st.Do |= Withdraw
	}
	if v := s.srv; v != nil {
		s.srv = nil
		v.returnCloses(s)
		if reason == ReasonServerFailed || reason == ReasonServerLied || reason == ReasonServerGone || reason == ReasonRefusedSettings || reason == ReasonBug {
			v.session = nil
			st.Server = v
			st.Do |= Discard
		} else {
			v.leave(st, s)
		}
	}
	if s.counted {
		s.counted = false
		s.roles.leave(s.roleKey())
	}
	for _, q := range s.named {
		s.texts.giveBack(q)
	}
	s.named = nil
	s.become(Closed, st.Now)
	st.Do |= CloseClient
}

// returnCloses gives back the statements whose Close is still to be answered.
func (v *Server) returnCloses(s *Session) {
	for i := v.fifo.head; i < len(v.fifo.buf); i++ {
		if r := &v.fifo.buf[i]; r.kind == kClose && r.own == ownNone && r.stmt != nil {
			s.texts.giveBack(r.stmt)
		}
	}
}

// ClientGone is called when the client's socket has ended.
func (s *Session) ClientGone(st *Step) { s.close(st, ReasonClientGone, nil) }

// ServerGone is called when the socket of the server on lease has ended. Everything that it sent has been forwarded.
func (s *Session) ServerGone(st *Step, cause string) {
	if r := s.srv.first(); s.state == Preparing && (s.welcomed || r != nil && r.own != ownSettings) {
		// Only pgtier's own statements were lost; the client has sent nothing yet, so another server will do. Before the welcome
		// the client's own settings may be what ended it.
		s.loseServer(st)
		s.acquire(st)
		return
	}
	e := pgerr.Fatal(pgerr.ConnectionDied, "server closed the connection unexpectedly").
		WithHint("The server process may have been stopped while or before processing the request.")
	if s.srv != nil && s.srv.toldWhy {
		e = nil // the server's own FATAL has been forwarded
	}
	s.close(st, ReasonServerGone, e)
	s.end.Detail = cause
}

// Rejected is called when the pool has no server for the session and will not have one.
func (s *Session) Rejected(st *Step, e *pgerr.Error) {
	s.close(st, ReasonNoServer, e.AsFatal())
}

// Kill ends the session now, in a transaction or a copy too.
func (s *Session) Kill(st *Step, reason Reason, e *pgerr.Error) { s.close(st, reason, e) }

// Panicked is called after a step of the session panicked: the session dies, its server is not used again.
func (s *Session) Panicked(st *Step) {
	s.close(st, ReasonBug, pgerr.Fatal(pgerr.InternalError, "internal error; incident %s", pgerr.Incident()))
}

// Drain ends the session as soon as it has no transaction: at once, or when its server is released.
func (s *Session) Drain(st *Step) {
	switch {
	case s.state == Linked && (s.srv.status != wire.Idle || s.srv.fifo.len() > 0 || s.inBatch || s.body > 0):
		s.leaving = true
	default:
		s.close(st, ReasonShutdown, errShutdown)
	}
}

// lie ends what a server is in the middle of when it sends what cannot be understood: both sides are closed.
func (v *Server) lie(st *Step, what string) {
	st.Server = v
	if s := v.session; s != nil {
		s.close(st, ReasonServerLied, pgerr.Fatal(pgerr.ProtocolViolation, "the server sent a message that cannot be understood"))
		s.end.Detail = what
		return
	}
	st.Do |= Discard
}

// Cancel acts on a cancel request with the session's key. A queued request fails; a running one is cancelled on its
// server; pgtier's own statement is left alone and the cancel sent when it has ended. Anything else is ignored, as
// PostgreSQL ignores a cancel that finds nothing to do.
func (s *Session) Cancel(st *Step) {
	switch s.state {
	case Waiting:
		if s.welcomed {
			st.Do |= Withdraw
			s.refuseNext(st, errCancelled)
		}
	case Preparing, Linked:
		s.cancel = s.srv.fifo.len() > 0
		s.sendCancel(st)
	}
}

var errCancelled = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
