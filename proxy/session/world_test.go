package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// world is a loop (proxy/relay) without sockets: it calls sessions as the loop does and carries out their effects on
// clients and servers that are byte slices. What the pool would do, a test does: it says who is granted what.
type world struct {
	t        failer
	now      int64
	step     Step
	in       []byte // the receive buffer; scribbled over after each step
	limit    int    // how much one read takes; 0 = everything
	shared   *Statements
	profiles *Profiles
	roles    *Roles
	pool     *pool.Pool
	watching *Sequences // zero: nobody is known to ask for sequence values
	lastID   uint64
	log      func(format string, args ...any) // nil = nobody listens

	onAcquire func(*testClient)
	onIdle    func(*testServer) // a server has been released
	onCancel  func(*testServer) // a cancel request has been sent for it
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// testClient is a client and its socket.
type testClient struct {
	name   string
	sess   *Session
	sent   []byte // by the client, and not read yet
	stash  []byte // read, and presented again with what follows
	got    stream // everything that it has been sent
	closed bool
	state  State // as logged last
}

// testServer is a server connection and its socket.
type testServer struct {
	name   string
	srv    *Server
	sent   []byte // by the server, and not read yet
	stash  []byte
	got    stream // everything that it has been sent
	orphan bool
	closed bool
}

func newWorld(t failer) *world {
	return &world{
		t: t, now: int64(time.Hour), shared: NewStatements(), profiles: NewProfiles(), watching: &Sequences{}, roles: NewRoles(),
		pool:      &pool.Pool{Key: pool.Key{Database: "EPMT", Tier: "rw"}},
		onAcquire: func(*testClient) {}, onIdle: func(*testServer) {}, onCancel: func(*testServer) {},
	}
}

// clientOptions say what a client is like; the zero value is a client of alice's in transaction mode.
type clientOptions struct {
	identity string
	session  bool // session mode
	reject   bool // session_state = "reject"
	hub      bool // isolation = "role": LISTEN goes by the hub
	guard    bool
	reuse    bool // with session: the next client gets the server
	label    bool // application_name = "label"
	setting  bool // identity_setting = true
	shared   bool // isolation = "shared", and welcomed: its role is called like its identity
	prepared int  // how many statements a server keeps; 0 = as by default
	startup  []Setting
	timeouts config.Timeouts
}

func (w *world) client(name string, opt clientOptions) *testClient {
	if opt.identity == "" {
		opt.identity = "alice"
	}
	tier := &config.Tier{Name: "rw", Database: &config.Database{Name: "EPMT"}, Login: "epmt-rw", Pool: config.Pool{Mode: "transaction"}}
	if opt.session {
		tier.Pool.Mode, tier.Pool.Reuse = "session", opt.reuse
	}
	tier.Guard = opt.guard
	tier.IdentitySetting = opt.setting
	if opt.label {
		tier.ApplicationName = "label"
	}
	role := ""
	if opt.shared {
		tier.Isolation, role = "shared", opt.identity
	}
	if opt.reject {
		tier.SessionState = "reject"
	}
	if opt.hub {
		tier.SessionState, tier.Isolation = "pin", "role"
	}
	tier.MaxPrepared = opt.prepared
	startup, e := NewSettings(opt.startup)
	if e != nil {
		w.t.Fatal(e)
	}
	c := &testClient{name: name}
	w.lastID++
	c.sess = New(Config{
		ID: w.lastID, PID: 7, Secret: []byte{1, 2, 3, 4}, Pool: w.pool, Startup: startup, Profiles: w.profiles, Texts: w.shared, Sequences: w.watching, Roles: w.roles, Now: w.now,
		Decision: &auth.Decision{Identity: opt.identity, Role: role, Tier: tier, Timeouts: opt.timeouts},
	})
	c.sess.Waiter.Owner = c
	if opt.shared {
		w.take(c.sess)
	}
	return c
}

// take does what the first lease of a session on a shared tier does, but for the lease.
func (w *world) take(s *Session) {
	known := &role{checked: w.now, limit: -1, frames: appendStatement(nil, setRole(s.Decision.Role))}
	w.roles.store(s.roleKey(), known)
	s.counted = w.roles.enter(s.roleKey(), known)
	s.welcomed, s.startup, s.told, s.state = true, s.want, s.want, Idle
}

func (w *world) server(name string, params map[string]string) *testServer {
	v := &testServer{name: name, srv: NewServer(w.pool.Key, 99, "db1:5432", params)}
	v.srv.Conn.Owner = v
	return v
}

// begin starts a step whose receive buffer holds stash and then as much of sent as one read takes.
func (w *world) begin(stash []byte, sent *[]byte) (in []byte, got int) {
	w.in = append(w.in[:0], stash...)
	if sent != nil {
		got = len(*sent)
		if w.limit > 0 {
			got = min(got, w.limit)
		}
		w.in = append(w.in, (*sent)[:got]...)
		*sent = (*sent)[got:]
	}
	w.step.Reset(w.now, w.in)
	return w.in, got
}

// welcome begins a session and its probing, if it needs one, on v; neither is logged.
func (w *world) welcome(c *testClient, v *testServer) {
	log, acquire := w.log, w.onAcquire
	w.log, w.onAcquire = nil, func(*testClient) {}
	w.start(c)
	if c.sess.State() == Waiting {
		w.grant(c, v)
	}
	if c.sess.State() != Idle {
		w.t.Fatalf("%s is %v after its welcome", c.name, c.sess.State())
	}
	c.got = stream{}
	w.log, w.onAcquire = log, acquire
}

func (w *world) start(c *testClient) {
	w.begin(nil, nil)
	c.sess.Begin(&w.step)
	w.finish(c)
}

// readClient lets the session take what its client has sent.
func (w *world) readClient(c *testClient) {
	progress := false
	for !c.closed && len(c.sent)+len(c.stash) > 0 {
		switch {
		case c.sess.MayRead():
			if progress = w.takeFromClient(c); !progress {
				return
			}
		case c.sess.State() == Idle && (len(c.sent) > 0 || progress):
			w.begin(nil, nil)
			c.sess.Wake(&w.step)
			w.finish(c)
			progress = false
		default:
			return
		}
	}
}

func (w *world) takeFromClient(c *testClient) (more bool) {
	in, got := w.begin(c.stash, &c.sent)
	return w.taken(c, in, got)
}

// taken goes on with a step that has begun.
func (w *world) taken(c *testClient, in []byte, got int) (more bool) {
	used := 0
	if len(in) > 0 {
		used = c.sess.FromClient(&w.step, in)
		c.stash = append(c.stash[:0], in[used:]...)
		c.sess.Settle(&w.step)
	}
	w.finish(c)
	return (got > 0 || used > 0) && (len(c.sent) > 0 || len(c.stash) > 0 && c.sess.State() == Idle)
}

// grant hands v to c, which waits, and reads c in the same step.
func (w *world) grant(c *testClient, v *testServer) {
	sent := c.sent
	in, got := w.begin(c.stash, &c.sent) // a loop's receive buffer: filled after Granted, if at all
	c.sess.Granted(&w.step, v.srv)
	if !c.sess.MayRead() || len(in) == 0 {
		c.sent = sent
		w.finish(c)
		return
	}
	if w.taken(c, in, got) {
		w.readClient(c)
	}
}

// readServer takes what the server has sent.
func (w *world) readServer(v *testServer) {
	for len(v.sent) > 0 && !v.closed {
		w.takeFromServer(v)
	}
}

func (w *world) takeFromServer(v *testServer) {
	sess := v.srv.Session()
	if sess == nil && !v.orphan {
		w.say("%s spoke while idle: closed", v.name)
		v.closed = true
		return
	}
	var c *testClient
	if sess != nil {
		c = sess.Waiter.Owner.(*testClient)
	}
	in, _ := w.begin(v.stash, &v.sent)
	used := v.srv.FromServer(&w.step, in)
	v.stash = append(v.stash[:0], in[used:]...)
	w.finish(c)
	if c != nil {
		w.readClient(c)
	}
}

// event runs one of a session's other methods.
func (w *world) event(c *testClient, fn func(*Session, *Step)) {
	w.begin(nil, nil)
	fn(c.sess, &w.step)
	w.finish(c)
	if c.sess.MayRead() {
		w.readClient(c)
	}
}

func (w *world) clientGone(c *testClient) {
	w.event(c, func(s *Session, st *Step) { s.ClientGone(st) })
}

func (w *world) serverGone(v *testServer) {
	sess := v.srv.Session()
	switch {
	case sess != nil:
		w.event(sess.Waiter.Owner.(*testClient), func(s *Session, st *Step) { s.ServerGone(st, "test") })
	case !v.closed:
		w.say("closed %s", v.name)
	}
	v.closed = true
}

// finish sends what the step left and carries out its effects, in the loop's order.
func (w *world) finish(c *testClient) {
	st := &w.step
	do, srv := st.Do, st.Server
	var v *testServer
	if srv != nil {
		v = srv.Conn.Owner.(*testServer)
	}
	if b := st.ToServer.Bytes(); len(b) > 0 {
		w.toServer(v, b)
	}
	if b := st.ToClient.Bytes(); len(b) > 0 && c != nil {
		w.toClient(c, b)
	}
	for i := range w.in {
		w.in[i] = 0xdb // whoever kept a part of the buffer shall see
	}
	w.effects(c, v, do)
	if c != nil && c.sess.State() != c.state {
		c.state = c.sess.State()
		w.say("%s %v%s", c.name, c.state, endOf(c.sess))
	}
}

func endOf(s *Session) string {
	if e := s.Ended(); e != nil {
		return " " + string(e.Reason)
	}
	return ""
}

func (w *world) toServer(v *testServer, b []byte) {
	if v == nil || v.closed {
		w.t.Fatalf("BUG: bytes for a server that is not there")
	}
	w.logFrames(v.name, v.got.add(b), false)
}

func (w *world) toClient(c *testClient, b []byte) {
	if c.closed {
		w.t.Fatalf("BUG: bytes for a client that is closed")
	}
	w.logFrames(c.name, c.got.add(b), true)
}

// stream is everything that went one way.
type stream struct {
	b  []byte
	at int // where the frame begins that is not complete yet
}

// add appends b and returns the frames that it completes, and the beginning of the next one.
func (s *stream) add(b []byte) (frames []byte) {
	s.b = append(s.b, b...)
	from := s.at
	for len(s.b)-s.at >= wire.HeaderSize {
		_, size, ok := wire.Header(s.b[s.at:])
		if !ok || size > len(s.b)-s.at {
			break
		}
		s.at += size
	}
	return s.b[from:]
}

func (s *stream) whole() bool { return s.at == len(s.b) }

func (w *world) logFrames(to string, b []byte, fromServer bool) {
	if w.log == nil {
		return
	}
	w.say("%s: %v", to, writtenFrames{append([]byte(nil), b...), fromServer})
}

// writtenFrames are frames that are described only when somebody reads the log.
type writtenFrames struct {
	b          []byte
	fromServer bool
}

func (f writtenFrames) String() string {
	text, rest := describeFrames(f.b, f.fromServer)
	if len(rest) > 0 {
		text = strings.TrimSpace(fmt.Sprintf("%s +%d bytes", text, len(rest)))
	}
	return text
}

// say writes a line into the transcript, if there is one.
func (w *world) say(format string, args ...any) {
	if w.log != nil {
		w.log(format, args...)
	}
}

func (w *world) effects(c *testClient, v *testServer, do Effect) {
	if do&CancelServer != 0 {
		w.say("cancel %s", v.name)
		w.onCancel(v)
	}
	if do&Withdraw != 0 {
		w.say("withdraw %s", c.name)
	}
	switch {
	case do&Discard != 0:
		w.say("discard %s", v.name)
		v.closed, v.orphan = true, false
	case do&Release != 0:
		w.released(v)
	case do&Orphan != 0:
		w.say("orphan %s", v.name)
		v.orphan = true
	}
	if do&Acquire != 0 {
		w.say("acquire %s", c.name)
		w.onAcquire(c)
	}
	if do&Channels != 0 {
		w.say("hub %s%s", c.name, channelsAsked(c.sess))
	}
	if do&CloseClient != 0 {
		c.closed = true
	}
}

// released checks what has to hold of a server that somebody else gets next.
func (w *world) released(v *testServer) {
	w.say("release %s", v.name)
	v.orphan = false
	switch s := v.srv; {
	case s.session != nil:
		w.t.Errorf("BUG: %s is released and has a session", v.name)
	case s.fifo.len() > 0:
		w.t.Errorf("BUG: %s is released with %d requests outstanding", v.name, s.fifo.len())
	case s.status != wire.Idle:
		w.t.Errorf("BUG: %s is released in transaction state %c", v.name, s.status)
	case s.copyIn || s.skipToSync || s.dirty:
		w.t.Errorf("BUG: %s is released unclean", v.name)
	case s.body > 0 && !s.dropBody:
		w.t.Errorf("BUG: %s is released in the middle of a frame", v.name)
	case !v.got.whole():
		w.t.Errorf("BUG: %s is released with half a frame sent to it", v.name)
	}
	w.onIdle(v)
}

func (w *world) kill(c *testClient) {
	w.event(c, func(s *Session, st *Step) {
		s.Kill(st, ReasonExpired, pgerr.Fatal(pgerr.AdminShutdown, "terminating connection: access ended"))
	})
}
