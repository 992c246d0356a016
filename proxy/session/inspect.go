package session

import (
	"time"

	"github.com/pgtier/pgtier/proxy/wire"
)

// View is what may be told about a session at one moment.
type View struct {
	State       State
	Transaction byte          // of its server, as in ReadyForQuery; 0 without a server
	Pinned      string        // why it keeps its server between transactions; "" when it does not
	Wait        time.Duration // how long it has waited for the server that it waits for; 0 when it does not wait
	ServerPID   uint32        // of the server on lease; 0 without one
	AppName     string        // application_name
	Counts      Counts
}

// View returns what may be told at the time now, in monotonic nanoseconds. The loop that has the session calls it.
func (s *Session) View(now int64) View {
	v := View{State: s.state, Pinned: s.Pinned(), Counts: s.Counts}
	v.AppName, _ = s.want.value(plainName)
	if s.state == Waiting {
		v.Wait = time.Duration(now - s.Counts.waitStart)
	}
	if s.srv != nil {
		v.ServerPID, v.Transaction = s.srv.PID, s.srv.status
		if !s.pooled {
			v.Pinned = "session mode"
		}
	}
	return v
}

// ServerView is what may be told about a server connection at one moment.
type ServerView struct {
	Client   uint64 // the id of the session that has it on lease; 0 without one
	Identity string // whose state it carries; "" = clean
	Clean    bool   // nothing is outstanding and no transaction is open
}

// View returns what may be told now. The loop that has the server calls it.
func (v *Server) View() ServerView {
	view := ServerView{Identity: v.Identity, Clean: v.status == wire.Idle && v.quiet()}
	if v.session != nil {
		view.Client = v.session.ID
	}
	return view
}
