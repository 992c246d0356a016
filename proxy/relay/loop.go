package relay

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/session"
)

// recvBuffer is the size of a loop's receive buffer: how much one read takes. Larger ones did not move more bytes per second
// in big results, smaller ones cost more calls.
const recvBuffer = 64 << 10

// maxTurns is how many buffers one socket may fill before the others have their turn.
const maxTurns = 4

// Loop is one event loop. Only its own thread touches its fields, but for the inbox and what is atomic.
type Loop struct {
	id     int
	group  *Group
	engine engine
	inbox  inbox
	bugs   atomic.Int64 // panics recovered
	busy   atomic.Int32 // percent of the time that it worked, lately

	now     int64
	in      []byte
	step    session.Step
	actions []pool.Action // of the pool's, to be carried out
	ready   []*socket     // to be read in this round
	sockets []*socket     // by descriptor
	clients map[*Client]struct{}
	timers  timers
	current *socket // whose step runs, for recovery

	generation uint32
	nextTick   int64
	meter      meter
	carrying   bool // in carryOut
	carried    int  // how many of actions have been
	draining   bool
	stopping   bool
}

// meter measures how busy the loop is: what its thread has run since a moment.
type meter struct{ since, ran int64 }

func newLoop(g *Group, id int) (*Loop, error) {
	l := &Loop{id: id, group: g, engine: newEngine(g.opt.Engine), in: make([]byte, recvBuffer), clients: make(map[*Client]struct{})}
	if err := l.engine.open(); err != nil {
		return nil, err
	}
	l.sockets = make([]*socket, l.engine.wakeFD()+1)
	return l, nil
}

// run is the loop's goroutine. It says on started whether it runs.
func (l *Loop) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.engine.start()
	started <- err
	if err != nil {
		return
	}
	for !l.stopping {
		l.round()
	}
	l.shutdown()
}

// round handles everything that has happened since the last one.
func (l *Loop) round() {
	events := l.engine.wait(l.patience(l.now))
	l.now = now()
	l.measure()
	for i := range events {
		l.note(&events[i])
	}
	// First what others have posted: a request that was made after a reload has been answered is subject to it.
	for _, t := range l.inbox.take() {
		l.guard(nil, func() { l.task(&t) })
	}
	for i := range events {
		l.event(&events[i])
	}
	for i := 0; i < len(l.ready); i++ {
		if s := l.ready[i]; s != nil { // nil: it has moved
			s.queued = false
			l.read(s)
		}
	}
	clear(l.ready)
	l.ready = l.ready[:0]
	for s := l.timers.due(l.now); s != nil; s = l.timers.due(l.now) {
		l.timeout(s)
	}
	if l.id == 0 && l.now >= l.nextTick {
		l.tick()
	}
}

// patience is how long the loop may wait for events.
func (l *Loop) patience(at int64) time.Duration {
	if len(l.ready) > 0 || l.inbox.filled.Load() {
		return 0
	}
	until := at + int64(time.Second)
	if next := l.timers.next(); next != 0 && next < until {
		until = next
	}
	if l.id == 0 {
		until = min(until, l.nextTick)
	}
	return max(0, time.Duration(until-at))
}

// measure asks once a second how long the thread has run: the time between two waits would not do, since the call that
// waits sends as well.
func (l *Loop) measure() {
	span := l.now - l.meter.since
	if span < int64(time.Second) {
		return
	}
	var used unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used) == nil {
		ran := used.Nano()
		l.busy.Store(int32(100 * min(ran-l.meter.ran, span) / span))
		l.meter = meter{since: l.now, ran: ran}
	}
}

// tick lets the pools notice that time has passed.
func (l *Loop) tick() {
	l.pool(pool.Event{Kind: pool.Tick})
	l.carryOut()
	l.nextTick = l.now + int64(250*time.Millisecond)
	if next := l.group.opt.Pools.Next(); next != 0 && next < l.nextTick {
		l.nextTick = max(next, l.now+int64(10*time.Millisecond))
	}
}

// note marks what an event says, before any of the batch is handled: a server that has ended is not lent to a client whose
// request is in the same batch.
func (l *Loop) note(ev *event) {
	s := l.about(ev)
	if s == nil {
		return
	}
	s.hup = s.hup || ev.mask&evHup != 0
	s.readable = s.readable || ev.mask&evRead != 0
}

func (l *Loop) event(ev *event) {
	if ev.fd == l.engine.wakeFD() {
		if ev.mask&evRead != 0 { // else it only says that the bell can be rung again
			l.engine.woken()
		}
		return
	}
	s := l.about(ev)
	if s == nil {
		return
	}
	if ev.mask&evWrite != 0 && s.full() {
		l.drained(s)
	}
	if s.readable {
		l.read(s)
	}
}

// about returns the socket that an event is about; nil when it has been closed or has moved.
func (l *Loop) about(ev *event) *socket {
	s := l.sockets[ev.fd]
	if s == nil || s.generation != ev.generation {
		return nil
	}
	return s
}

// read lets a socket's owner read it.
func (l *Loop) read(s *socket) {
	if s.closed {
		return
	}
	l.guard(s, func() {
		if s.client != nil {
			l.readClient(s.client)
		} else {
			l.readServer(s.server)
		}
	})
}

// drained is called when a socket with bytes waiting takes more.
func (l *Loop) drained(s *socket) {
	if err := s.flush(); err != nil {
		s.nc.Out = nil
		s.readable, s.hup = true, true // reading finds out
	}
	if s.full() {
		return
	}
	if s.closing {
		l.drop(s)
		return
	}
	l.again(s)
	if other := s.peer(); other != nil {
		l.again(other)
	}
}

// peer returns the socket at the other end of the session.
func (s *socket) peer() *socket {
	if c := s.client; c != nil {
		if v := c.sess.Server(); v != nil {
			return &v.Owner.(*serverConn).socket
		}
		return nil
	}
	if sess := s.server.srv.Session(); sess != nil {
		return &sess.Waiter.Owner.(*Client).socket
	}
	return nil
}

// again puts a socket that may have more to read into the ready list.
func (l *Loop) again(s *socket) {
	if s.closed || s.queued || !s.readable && len(s.stash) == 0 {
		return
	}
	s.queued = true
	l.ready = append(l.ready, s)
}

// guard runs fn, which belongs to the socket s. A panic ends the session concerned, or closes the server; the loop lives.
func (l *Loop) guard(s *socket, fn func()) {
	l.current = s
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p)
		}
		l.current = nil
	}()
	fn()
}

func (l *Loop) panicked(p any) {
	l.bugs.Add(1)
	l.group.opt.Log.Error("bug in a session", zap.String("panic", fmt.Sprint(p)), zap.ByteString("stack", debug.Stack()))
	s := l.current
	l.carrying = false
	if s == nil {
		return
	}
	c := s.client
	if c == nil {
		if sess := s.server.srv.Session(); sess != nil {
			c = sess.Waiter.Owner.(*Client)
		}
	}
	defer func() {
		if p := recover(); p != nil && !s.closed { // not even its end works: drop the socket
			l.unregister(s)
			s.shut(l.in)
		}
	}()
	l.begin()
	if c == nil {
		l.step.Server, l.step.Do = s.server.srv, session.Discard
		l.finish(nil)
		return
	}
	c.sess.Panicked(&l.step)
	l.finish(c)
}

// register puts a socket under the loop's care.
func (l *Loop) register(s *socket) error {
	fd := s.nc.FD()
	l.generation++
	s.generation = l.generation
	if s.loop != l { // a client's never changes: cancel requests read it from elsewhere
		s.loop = l
	}
	for fd >= len(l.sockets) {
		l.sockets = append(l.sockets, make([]*socket, max(64, len(l.sockets)))...)
	}
	l.sockets[fd] = s
	return l.engine.add(fd, s.generation)
}

func (l *Loop) unregister(s *socket) {
	if fd := s.nc.FD(); fd >= 0 && fd < len(l.sockets) && l.sockets[fd] == s {
		l.sockets[fd] = nil
		l.engine.remove(fd, s.generation)
	}
}

// letGo makes the loop forget a socket that another loop is about to have.
func (l *Loop) letGo(s *socket) {
	if s.posted {
		l.engine.flush()
	}
	l.unregister(s)
	if s.queued {
		l.ready[slices.Index(l.ready, s)] = nil
	}
	l.timers.forget(s)
	s.queued, s.generation = false, 0
}

// drop closes a socket for good.
func (l *Loop) drop(s *socket) {
	if s.closed {
		return
	}
	l.unregister(s)
	s.shut(l.in)
	if c := s.client; c != nil {
		delete(l.clients, c)
		l.group.left()
	}
}

// shutdown ends what is left when the loop stops.
func (l *Loop) shutdown() {
	for _, s := range l.sockets {
		if s != nil {
			l.drop(s)
		}
	}
}

// tidy closes what was handed to a loop that had stopped, such as the connection of a login that was just too late. Called
// when nobody posts any more.
func (l *Loop) tidy() {
	for _, t := range l.inbox.take() {
		switch t.do {
		case taskOpened, taskMoved:
			t.server.shut(l.in)
		case taskAdopt:
			t.client.shut(l.in)
			l.group.left()
		}
	}
	l.engine.close()
}
