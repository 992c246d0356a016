package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// A session that keeps its server (it is pinned, in session mode, or never without a request) has its role for longer than what
// was learned about that holds. Between two transactions, before the next frame of the client's, the server is asked again.
// An idle session is not: it does nothing as long as it is idle, and is asked for before its next request.

// factsName is the prepared statement that asks. It has a name because the client's unnamed statement stays as it is: in
// session mode nobody could put it back.
const factsName = serverPrefix + "facts"

// holdsBack reports whether the client's next frame, which begins with typ, has to wait.
func (s *Session) holdsBack(st *Step, typ byte) bool {
	return s.gated || s.shared && s.state == Linked && st.Now-s.roleSeen > roleFresh && s.recheck(st, typ)
}

// recheck sees to it that the session may still have its role, if it can be between two transactions. It reports whether the
// client has to wait for that.
func (s *Session) recheck(st *Step, typ byte) (wait bool) {
	v := s.srv
	if v.status != wire.Idle || v.copyIn || s.inBatch || s.skip || !begins(typ) {
		return false
	}
	if s.drains = !v.quiet(); s.drains {
		return true
	}
	known := s.roles.find(s.roleKey(), st.Now)
	switch {
	case known == nil:
		s.askFacts(st)
		s.gated = true
		return true
	case known.refusal != nil:
		s.close(st, ReasonRole, known.refusal)
		return true
	}
	s.roleSeen = known.checked
	return false
}

// begins reports whether a frame of this type begins a request. What belongs to a copy does not: the server may wait for it.
func begins(typ byte) bool {
	switch typ {
	case wire.Query, wire.Parse, wire.Bind, wire.Execute, wire.Describe, wire.Close, wire.Function:
		return true
	}
	return false
}

// askFacts asks for what is known of the role in a batch of its own.
func (s *Session) askFacts(st *Step) {
	own, at := wire.Begin(st.ToServer.Own(), wire.Parse)
	own = append(append(own, factsName...), 0)
	own = append(append(own, factsQuery(s.Decision.Role)...), 0, 0, 0)
	own, at = wire.Begin(wire.End(own, at), wire.Bind)
	own = append(append(append(own, 0), factsName...), 0, 0, 0, 0, 0, 0, 0)
	own, at = wire.Begin(wire.End(own, at), wire.Execute)
	own = appendClose(wire.End(append(own, 0, 0, 0, 0, 0), at), factsName)
	st.ToServer.Put(wire.AppendEmpty(own, wire.Sync))
	for _, k := range [...]kind{kParse, kBind, kExecute, kClose, kSync} {
		s.srv.fifo.push(request{kind: k, mode: skipped, own: ownFacts})
	}
	s.srv.answer = answer{}
}

// uncheckable ends a session whose role could not be asked for, as with a statement_timeout of a millisecond: a role that was
// revoked must not be kept by that.
func (s *Session) uncheckable(st *Step, failed ownError) {
	s.close(st, ReasonRole, pgerr.Fatal(pgerr.InvalidAuthorization, "the role %q could not be checked", s.Decision.Role).
		WithHint("The log of pgtier says why."))
	s.end.Detail = failed.message
}
