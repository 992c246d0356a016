package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// A request that gets no server (it waited too long, or was cancelled in the queue) is answered by the session itself, as
// PostgreSQL answers a request that fails: the error, and ReadyForQuery when the request ends. The session lives on.

// refuseNext makes e the answer to the client's next request; the loop reads it now.
func (s *Session) refuseNext(st *Step, e *pgerr.Error) {
	s.refusal = e
	s.become(Idle, st.Now)
}

func (s *Session) refuse(st *Step, typ byte) verdict {
	own := s.refusal.Append(st.ToClient.Own())
	if typ == wire.Query || typ == wire.Function {
		own = wire.AppendReadyForQuery(own, wire.Idle)
	} else {
		s.skip = true
	}
	st.ToClient.Put(own)
	s.refusal = nil
	return drop
}

func (s *Session) refuseSync(st *Step) verdict {
	own := st.ToClient.Own()
	if s.refusal != nil {
		own = s.refusal.Append(own)
	}
	st.ToClient.Put(wire.AppendReadyForQuery(own, wire.Idle))
	s.refusal, s.skip = nil, false
	return drop
}
