package session

import (
	"fmt"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// deadlines are the moments (monotonic nanoseconds, 0 = none) at which the session's state has lasted too long. The loop
// asks for the earliest and calls Expired when it has passed; nothing is polled.
type deadlines struct {
	state       int64 // of the present state: login, query_wait, client_idle
	login       int64 // until the welcome
	request     int64 // query: since the request began
	idleTx      int64 // idle_transaction: since the last ReadyForQuery in a transaction
	transaction int64 // transaction: since the lease began
	notify      int64 // query_wait_notify: since the session began to wait
	excused     int64 // how much later state is because the pool was paused while the session waited
	access      int64 // the grant's limits.session or expires, whichever is earlier
	accessWhy   string
}

// start sets what runs from the session's first moment on.
func (d *deadlines) start(decision *auth.Decision, now int64) {
	if t := decision.Timeouts.Login; t > 0 {
		d.login = now + int64(t)
		d.state = d.login
	}
	if t := decision.Limits.Session; t > 0 {
		d.access, d.accessWhy = now+int64(t), "session limit "+t.String()
	}
	if at := decision.Expires; !at.IsZero() {
		left := max(int64(time.Until(at)), 1)
		if d.access == 0 || now+left < d.access {
			d.access, d.accessWhy = now+left, "grant expired "+at.UTC().Format("15:04Z")
		}
	}
}

func after(now int64, t time.Duration) int64 {
	if t <= 0 {
		return 0
	}
	return now + int64(t)
}

// enter is called as the session changes to the state next.
func (d *deadlines) enter(s *Session, next State, now int64) {
	t := &s.Decision.Timeouts
	d.request, d.idleTx, d.transaction, d.notify = 0, 0, 0, 0
	switch next {
	case Idle:
		d.state = after(now, t.ClientIdle)
	case Waiting:
		d.excused = 0
		d.state = after(now, t.QueryWait)
		if !s.welcomed && d.login != 0 && (d.state == 0 || d.login < d.state) {
			d.state = d.login
		}
		if s.welcomed {
			d.notify = after(now, t.QueryWaitNotify)
		}
	case Preparing:
		if !s.welcomed {
			d.state = d.login
		}
	case Linked:
		d.state = 0
		d.request = after(now, t.Query)
		d.transaction = after(now, t.Transaction)
	case Closed:
		*d = deadlines{}
	}
}

// requestEnded is called at a ReadyForQuery after which the session keeps its server.
func (d *deadlines) requestEnded(s *Session, now int64) {
	t := &s.Decision.Timeouts
	d.state, d.request, d.idleTx = 0, 0, 0
	switch {
	case s.srv == nil:
	case s.srv.fifo.len() > 0:
		d.request = after(now, t.Query)
	case s.srv.status != wire.Idle:
		d.idleTx = after(now, t.IdleTransaction)
	default:
		d.state, d.transaction = after(now, t.ClientIdle), 0
	}
}

// requestBegins is called when the client sends to a server that had nothing to do.
func (d *deadlines) requestBegins(s *Session, now int64) {
	t := &s.Decision.Timeouts
	d.state, d.idleTx = 0, 0
	if d.request == 0 {
		d.request = after(now, t.Query)
	}
	if d.transaction == 0 {
		d.transaction = after(now, t.Transaction)
	}
}

// Deadline returns the earliest moment at which Expired has something to do; 0 = none.
func (s *Session) Deadline() int64 {
	d := &s.deadlines
	at := d.state
	for _, other := range [...]int64{d.request, d.idleTx, d.transaction, d.access, d.notify} {
		if other != 0 && (at == 0 || other < at) {
			at = other
		}
	}
	return at
}

// Expired is called at or after Deadline.
func (s *Session) Expired(st *Step) {
	d := &s.deadlines
	due := func(at int64) bool { return at != 0 && at <= st.Now }
	switch {
	case s.state == Closed:
	case due(d.access):
		s.close(st, ReasonExpired, pgerr.Fatal(pgerr.AdminShutdown, "terminating connection: access to tier %q on %q ended (%s)",
			s.Decision.Tier.Name, s.Decision.Tier.Database.Name, d.accessWhy))
	case due(d.state) && !s.excuse(st):
		s.stateExpired(st)
	case due(d.notify):
		d.notify = 0
		st.ToClient.Put(waitNotice(s, st).AppendNotice(st.ToClient.Own()))
	case due(d.request):
		s.close(st, ReasonTimeout, pgerr.Fatal(pgerr.QueryCanceled, "terminating connection due to query timeout of pgtier"))
	case due(d.transaction):
		s.close(st, ReasonTimeout, pgerr.Fatal(pgerr.TransactionTimeout, "terminating connection due to transaction timeout of pgtier"))
	case due(d.idleTx):
		s.close(st, ReasonTimeout, pgerr.Fatal(pgerr.IdleInTransactionTimeout, "terminating connection due to idle-in-transaction timeout of pgtier"))
	}
}

// pausePoll is how often a session that has waited its time is looked at while its pool is paused. A client may be told up to
// this much late that it has waited too long.
const pausePoll = int64(250 * time.Millisecond)

// excuse moves the end of waiting by what the pool was paused meanwhile. It reports whether the session may go on waiting.
func (s *Session) excuse(st *Step) bool {
	d := &s.deadlines
	if s.state != Waiting {
		return false
	}
	more := int64(st.Usage.PausedFor) - d.excused
	d.excused += more
	d.state += more
	if !s.welcomed && d.login != 0 {
		d.login += more
	}
	if st.Usage.Paused {
		d.state = max(d.state, st.Now+pausePoll)
	}
	return d.state > st.Now
}

// waitNotice tells a client why it gets no answer yet.
func waitNotice(s *Session, st *Step) *pgerr.Error {
	if st.Usage.Paused {
		return &pgerr.Error{Severity: "NOTICE", Code: "00000", Message: fmt.Sprintf("waiting: tier %q of database %q is paused by an administrator",
			s.Decision.Tier.Name, s.Decision.Tier.Database.Name)}
	}
	return &pgerr.Error{Severity: "NOTICE", Code: "00000", Message: fmt.Sprintf("waiting for a free connection of tier %q (%s)",
		s.Decision.Tier.Name, st.PoolInUse())}
}

func (s *Session) stateExpired(st *Step) {
	switch s.state {
	case Idle, Linked:
		s.close(st, ReasonTimeout, pgerr.Fatal(pgerr.IdleSessionTimeout, "terminating connection due to idle-session timeout of pgtier"))
	case Waiting:
		e := pgerr.New(pgerr.TooManyConnections, "no free connection for tier %q after %v (%s)", s.Decision.Tier.Name,
			(time.Duration(st.Now-s.Counts.waitStart) - st.Usage.PausedFor).Round(time.Millisecond), st.PoolInUse())
		if st.Usage.Down != nil {
			e = st.Usage.Down
		}
		if !s.welcomed {
			s.close(st, ReasonTimeout, e.AsFatal())
			return
		}
		st.Do |= Withdraw
		s.refuseNext(st, e.AsError())
	default: // its server is being prepared
		e := pgerr.Fatal(pgerr.CannotConnectNow, "login timed out")
		if s.welcomed {
			e = pgerr.Fatal(pgerr.TooManyConnections, "no connection for tier %q was clean in time", s.Decision.Tier.Name)
		}
		s.close(st, ReasonTimeout, e)
	}
}
