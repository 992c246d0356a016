// Package session is one logged-in client: what it asked for and has not been answered, which server connection it has on
// lease, which settings it has.
//
// The package does no I/O, starts no goroutine, holds no lock and reads no clock. A loop (proxy/relay) calls one method per
// event with a *Step, in which the session leaves the bytes to send and the effects to carry out. So every rule of the
// protocol can be tested as a transcript.
//
// Ownership: a Session belongs to one loop for its life. A Server belongs to the loop that its socket is registered on and,
// while it is on lease, to its session; between leases it belongs to the pool. Nothing here is safe for concurrent use.
package session

import (
	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// State is where a session is in its life.
type State uint8

// The states, and what each may become.
const (
	Welcoming State = iota // logged in, ReadyForQuery not sent yet; -> Waiting, Idle, Closed
	Idle                   // no server, no request; -> Waiting, Closed
	Waiting                // asked the pool for a server; -> Preparing, Linked, Idle, Closed
	Preparing              // has a server that runs pgtier's own statements first; -> Linked, Waiting, Idle, Closed
	Linked                 // has a server and relays; -> Idle, Closed
	Closed                 // the end
)

func (s State) String() string {
	return [...]string{"welcoming", "idle", "waiting", "preparing", "linked", "closed"}[s]
}

// legal[a] has bit b set when a may become b.
var legal = [...]uint8{
	Welcoming: 1<<Waiting | 1<<Idle | 1<<Closed,
	Idle:      1<<Waiting | 1<<Closed,
	Waiting:   1<<Preparing | 1<<Linked | 1<<Idle | 1<<Closed,
	Preparing: 1<<Linked | 1<<Waiting | 1<<Idle | 1<<Closed,
	Linked:    1<<Idle | 1<<Closed,
	Closed:    0,
}

// Session is one logged-in client from welcome to close. It is kept small: an idle client costs this struct, its loop's
// record of the socket, and nothing else.
type Session struct {
	pool.Waiter // its place in the pool's queue; Owner is the loop's record of the client

	// Constant after New.
	ID       uint64
	PID      uint32 // what the client believes to be its backend's pid: half of its cancel key
	Secret   []byte // the other half; 4 bytes on protocol 3.0, 32 on 3.2
	Decision *auth.Decision
	Pool     *pool.Pool
	profiles *Profiles
	texts    *Statements
	pooled   bool // transaction mode: the server goes back after each transaction
	sole     bool // nobody has the server after the session: session mode, unless the tier says reuse
	inspects bool // some texts are refused: each is seen as a whole before it is sent on

	state    State
	welcomed bool
	leaving  bool // the client is to be closed once its server is free: drain
	cancel   bool // a cancel request waits for pgtier's own statement to end

	srv       *Server
	want      Settings // what the client's session must look like on any server, as the client sees it; see wants
	worn      Settings // the same as servers see it: with pgtier's labels
	told      Settings // those whose application_name the client has been told
	roles     *Roles
	watch     *watch          // whether sequence values are asked for in its pool
	shared    bool            // isolation "shared": the role is set at each lease
	counted   bool            // in roles
	tries     uint8           // servers on which the lease has been cancelled while they were prepared
	putBack   bool            // role and settings follow a DISCARD ALL that has been sent
	gated     bool            // nothing of the client's is taken before what was sent is confirmed: see prefix.go
	drains    bool            // nothing of the client's is taken before everything is answered
	roleSeen  int64           // when the server said that the session may have its role, monotonic nanoseconds
	backlog   bool            // there is something, which the loop keeps
	owesReady bool            // the client's last ReadyForQuery is held back: see reset.go
	startup   Settings        // what it asked for at its start, as the server reports it: what RESET goes back to
	marks     *marks          // what its texts may have left behind on the server; nil for most
	asking    *marks          // what the server is being asked about; nil when it is not
	pinned    sqlscan.Effects // what keeps its server from being released; 0 for most
	hub       bool            // it listens by the pool's hub
	hearing   *hearing        // its channels; nil for most

	// The client's byte stream.
	body     int  // bytes of its current frame that are still to come
	dropBody bool // they are not forwarded
	copySent bool // copy data has been sent since the last Query or Execute
	inBatch  bool // an extended-protocol batch has begun and its Sync has not arrived
	opening  bool // by the Parse at hand
	bound    bool // it has a Bind
	sequence bool // the client has asked for its sequence values

	unnamedRev  uint32          // of the latest unnamed statement
	unnamedHere bool            // the present batch has said what the unnamed statement is
	stalled     bool            // the next frame waits for the answers to an earlier batch
	shows       map[string]bool // in session mode: statements that show application_name; nil for most

	refusal *pgerr.Error // answers the client's next request; there is no server
	skip    bool         // after a refused extended request: drop everything up to Sync

	named   map[string]*statement // the client's prepared statements by its names for them; nil until the first
	reading reading               // how it reads their texts
	unnamed *unnamed              // its unnamed statement; nil when it has none
	spare   *unnamed              // the one before it, to be used again
	kept    uint32                // bytes of prepared texts that are kept for the client
	saving  *statement            // gets the body that streams through
	held    []byte                // a frame that is looked at as a whole before any of it is sent on
	strays  []string              // names of the client's own that were put on the server for a moment: see tidyUp

	deadlines deadlines
	end       *End
	Counts    Counts
}

// Counts are what the log line at the session's end and the console tell.
type Counts struct {
	Transactions  uint64 // leases that ended by release
	ClientBytes   uint64
	ServerBytes   uint64
	WaitedNanos   int64 // for server connections, in total
	ServerSwitch  uint64
	waitStart     int64
	Started       int64 // monotonic nanoseconds
	InjectedParse uint64
	ServerPID     uint32 // of the server it had last; 0 = it never had one
}

// Config is what New needs.
type Config struct {
	ID        uint64
	PID       uint32
	Secret    []byte
	Decision  *auth.Decision
	Pool      *pool.Pool
	Startup   Settings // what the client asked for in its startup packet
	Profiles  *Profiles
	Texts     *Statements
	Roles     *Roles
	Sequences *Sequences
	Now       int64 // monotonic nanoseconds
}

// New returns a session in state Welcoming; the loop calls Begin next.
func New(c Config) *Session {
	s := &Session{
		ID: c.ID, PID: c.PID, Secret: c.Secret, Decision: c.Decision, Pool: c.Pool,
		profiles: c.Profiles, texts: c.Texts, roles: c.Roles, watch: c.Sequences.of(c.Pool),
		shared: c.Decision.Tier.Isolation == "shared",
		pooled: c.Decision.Tier.Pool.Mode == "transaction",
	}
	s.sole = !s.pooled && !c.Decision.Tier.Pool.Reuse
	s.inspects = s.pooled && c.Decision.Tier.SessionState == "reject" || c.Decision.Tier.Guard || c.Decision.Tier.IdentitySetting
	s.hub = s.pooled && c.Decision.Tier.SessionState == "pin" && c.Decision.Tier.Isolation == "role"
	s.Waiter.Identity = c.Decision.Identity
	s.wants(c.Startup)
	s.Counts.Started = c.Now
	s.deadlines.start(c.Decision, c.Now)
	return s
}

// State returns where the session is.
func (s *Session) State() State { return s.state }

// Pinned tells why the session keeps its server between transactions; "" when it does not.
func (s *Session) Pinned() string {
	if s.pinned == 0 {
		return ""
	}
	if s.pinned == overfull {
		return "prepared texts"
	}
	return s.pinned.String()
}

// Server returns the server on lease; nil when there is none.
func (s *Session) Server() *Server { return s.srv }

// become is the only place where the state changes.
func (s *Session) become(next State, now int64) {
	if legal[s.state]&(1<<next) == 0 {
		panic("BUG: session " + s.state.String() + " cannot become " + next.String())
	}
	s.deadlines.enter(s, next, now)
	s.state = next
	if next == Idle {
		s.tries = 0
	}
}

// MayRead reports whether the loop may read the client's socket now. A client that waits for a server is not read:
// nothing is buffered for it, and the kernel tells its peer to stop.
func (s *Session) MayRead() bool {
	switch s.state {
	case Linked:
		// What the client sends next may depend on what follows from the answer: see adjust and mustWait.
		return s.asking == nil && s.hearing.mayRead() && !s.gated && !(s.drains && s.srv.fifo.len() > 0 && !s.srv.copyIn) && !(s.stalled && s.srv.fifo.unsure > 0) && (s.srv.fifo.len() < maxOutstanding || s.body > 0)
	case Idle:
		return s.refusal != nil || s.skip || s.body > 0 // a body, here, is the rest of what has been refused
	default:
		return false
	}
}

// maxOutstanding bounds the requests that one client may have in flight, and so the memory that a pipeline without
// reading costs. A client over it is not read until answers arrive. A fast pipeline would like it bigger; at 64 bytes a
// request the socket buffers already hold less than this.
const maxOutstanding = 16 << 10
