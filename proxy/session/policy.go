package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// A statement that pgtier refuses must fail where it stands: behind the answers to what came before it, before everything
// that comes after it, and with what a failed statement does to a transaction. So the server gets a text in its place that
// fails there, and pgtier's error goes to the client in place of the server's.

// nonsense is that text: a syntax error in every version, which the server's log shows as what it is.
const nonsenseSQL = "pgtier refused this statement"

// forbidden returns why the session may not run sql; nil when it may.
func (s *Session) forbidden(sql []byte) *pgerr.Error {
	if !s.inspects {
		return nil
	}
	sum := sqlscan.Classify(sql)
	if s.Decision.Tier.SessionState == "reject" && sum.Does&sqlscan.Pins != 0 {
		return rejectState(sql)
	}
	return nil
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
	s.srv.fifo.push(request{kind: k, mode: refused, err: e})
	st.ToServer.Put(wire.AppendQuery(st.ToServer.Own(), nonsenseSQL))
	s.srv.prepared.unnamedOf = nil
	return drop
}

// refuseParse sends a Parse that fails, in place of one that is refused.
func (s *Session) refuseParse(st *Step, e *pgerr.Error) verdict {
	s.srv.fifo.push(request{kind: kParse, mode: refused, err: e})
	body := append([]byte(nonsenseSQL), 0, 0, 0)
	st.ToServer.Put(appendParse(st.ToServer.Own(), "", body, len(body)))
	s.srv.prepared.unnamedOf = nil
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
