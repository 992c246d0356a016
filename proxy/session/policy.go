package session

import (
	"strconv"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// A statement that pgtier refuses must fail where it stands: behind the answers to what came before it, before everything
// that comes after it, and with what a failed statement does to a transaction. So the server gets a text in its place that
// fails there, and pgtier's error goes to the client in place of the server's.

// nonsense is that text: a syntax error in every version, which the server's log shows as what it is.
const nonsenseSQL = "pgtier refused this statement"

// forbidden returns why the session may not run sql; nil when it may. extended says that it comes by Parse.
func (s *Session) forbidden(sql []byte, extended bool) *pgerr.Error {
	if !s.inspects {
		return nil
	}
	sum := sqlscan.Classify(sql)
	if s.Decision.Tier.Guard {
		if e := s.guard(sum, extended); e != nil {
			return e
		}
	}
	if s.Decision.Tier.IdentitySetting {
		if name := setsLabel(sql, sum); name != "" {
			return guarded("permission denied to set parameter "+strconv.Quote(name), "pgtier sets it: it says whose session this is.")
		}
	}
	if s.pooled && s.Decision.Tier.SessionState == "reject" && sum.Does&sqlscan.Pins != 0 {
		return rejectState(sql)
	}
	return nil
}

// guard refuses what could change the role or hide that it does, and what it cannot read.
func (s *Session) guard(sum sqlscan.Summary, extended bool) *pgerr.Error {
	switch does := sum.Does; {
	case does&(sqlscan.CannotLex|sqlscan.NotUTF8) != 0:
		return guarded("permission denied: the statement cannot be read by the guard of this tier", "Send well-formed SQL in UTF-8.")
	case does&sqlscan.Role != 0:
		return guarded("permission denied to change role: the role of this connection is set by pgtier", "Log in as the identity that has the other role.")
	case does&(sqlscan.OpaqueSetting|sqlscan.RunsText) != 0:
		return guarded("permission denied: the statement could set what it does not show", "Call set_config with a literal name; do not run SQL from text.")
	case does&(sqlscan.UnsafeEncoding|sqlscan.PlainEscapes) != 0:
		return guarded("permission denied to change how text is read on this tier", "Use client_encoding UTF8 and standard_conforming_strings on.")
	case sum.Kinds.Any(guardedKinds):
		return guarded("permission denied: statements of this kind are refused on this tier", "DO, routines and ALTER ROLE, DATABASE or SYSTEM need another tier.")
	case does&sqlscan.ReadWrite != 0 && s.readOnly():
		return guarded("permission denied: this tier is read-only", "Ask for the rw tier.")
	case sum.Kinds.Has(sqlscan.Discard) && s.shared && (extended || sum.Count > 1 || !s.alone()):
		return guarded("permission denied: DISCARD is taken alone and in the simple protocol on this tier", "Send it as a query of its own.")
	}
	return nil
}

func guarded(message, hint string) *pgerr.Error {
	return pgerr.New(pgerr.InsufficientPrivilege, "%s", message).WithHint("%s", hint)
}

var guardedKinds = sqlscan.KindsOf(sqlscan.Do, sqlscan.CreateRoutine, sqlscan.AlterRoutine, sqlscan.AlterRole,
	sqlscan.AlterDatabase, sqlscan.AlterSystem, sqlscan.Load)

// readOnly reports whether the operator made the tier read-only by default_transaction_read_only.
func (s *Session) readOnly() bool {
	switch lower(s.Decision.Tier.Settings["default_transaction_read_only"]) {
	case "on", "true", "yes", "1", "t", "y":
		return true
	}
	return false
}

// Unreadable returns the startup parameter that a guarded tier refuses, since it changes how text is read; nil when there
// is none.
func Unreadable(t *config.Tier, s Settings) *pgerr.Error {
	if !t.Guard {
		return nil
	}
	values := s.Map()
	if v, ok := values["client_encoding"]; ok && !sqlscan.SafeEncoding(v) {
		return guarded("permission denied: client_encoding "+strconv.Quote(v)+" is refused on this tier", "Use UTF8.").AsFatal()
	}
	if v, ok := values["standard_conforming_strings"]; ok && lower(v) != "on" && lower(v) != "true" {
		return guarded("permission denied: standard_conforming_strings must be on for this tier", "Leave it at its default.").AsFatal()
	}
	if v, ok := values["default_transaction_read_only"]; ok && t.Settings["default_transaction_read_only"] != "" && lower(v) != "on" && lower(v) != "true" {
		return guarded("permission denied: this tier is read-only", "Ask for the rw tier.").AsFatal()
	}
	return nil
}

// afterDiscard puts the role and the client's own settings back right behind a DISCARD ALL that the client sends. What the
// client has pipelined behind it waits until the role is confirmed: SET ROLE may fail, when the membership has been revoked
// or a cancel request for the DISCARD ALL comes late, and then it would meet the bare login.
func (s *Session) afterDiscard(st *Step) {
	s.putBack, s.gated = true, true
	s.sendRole(st)
	if worn := s.wear(s.startup); worn != NoSettings {
		st.ToServer.Put(appendChange(st.ToServer.Own(), NoSettings, worn))
		s.srv.fifo.push(request{kind: kQuery, mode: skipped, own: ownRestore})
	}
}

// alone reports whether the client has nothing outstanding.
func (s *Session) alone() bool { return !s.inBatch && s.srv.fifo.onlyOwn() }

// discardLater makes the client's DISCARD ALL wait for the answers to pgtier's own statements: what follows it, it has to
// follow at once.
func (s *Session) discardLater(st *Step, size int) verdict {
	if size > wholeFrame { // it has been held until it was whole, and cannot wait once more
		return s.refuseQuery(st, kQuery, errTooLong)
	}
	s.endPrefix(st)
	s.drains, s.backlog = true, true
	return more
}

// rejectState refuses what would tie the session to one server connection.
func rejectState(sql []byte) *pgerr.Error {
	n := noteOf(sql)
	if n == nil || n.pins == 0 {
		return nil
	}
	return pgerr.New(pgerr.FeatureNotSupported, "session state is not available on this tier: %v", n.pins).
		WithHint(`The server connection changes between transactions. Ask the operator for session_state = "pin" or a session-mode tier.`)
}

// refuseQuery sends a simple query that fails, in place of one that is refused.
func (s *Session) refuseQuery(st *Step, k kind, e *pgerr.Error) verdict {
	r := s.simple()
	r.kind, r.mode, r.err = k, refused, e
	s.srv.fifo.push(r)
	st.ToServer.Put(wire.AppendQuery(st.ToServer.Own(), nonsenseSQL))
	return drop
}

// refuseParse sends a Parse that fails, in place of one that is refused.
func (s *Session) refuseParse(st *Step, e *pgerr.Error) verdict {
	s.srv.fifo.push(s.closeUnnamed(request{kind: kParse, mode: refused, err: e}))
	body := append([]byte(nonsenseSQL), 0, 0, 0)
	st.ToServer.Put(appendParse(st.ToServer.Own(), "", body, len(body)))
	return drop
}

// hold keeps a long Query or Parse until all of it is there: a text that may be refused is not sent on in part.
func (s *Session) hold(frame []byte) verdict {
	s.held = append(make([]byte, 0, min(2*len(frame), maxHeldStep)), frame...)
	return drop
}

const maxHeldStep = 1 << 20

// holding takes n bytes of a frame that is held; at its end it is judged like any other.
func (s *Session) holding(st *Step, b []byte) {
	s.held = append(s.held, b...)
	if s.body > 0 {
		return
	}
	frame := s.held
	s.held = nil
	var v verdict
	if frame[0] == wire.Query {
		v = s.query(st, len(frame), frame)
	} else {
		v = s.parse(st, len(frame), frame)
	}
	if v == pass {
		st.ToServer.Put(append(st.ToServer.Own(), frame...))
	}
}
