// Package notify is LISTEN for many clients over one server connection.
//
// In transaction mode a client has no server connection of its own to listen on. So each pool (database, tier and role) has
// a hub: one more server connection, logged in like those of the pool but not counted in its size, that listens to every
// channel that any client of the pool listens to. What it hears it gives to each of them, byte for byte. It opens with the
// first subscription and closes when it has had none for a minute.
//
// A hub is a pure core (core.go: who is subscribed to what, which commands wait for their answers) and a thin shell around
// it (hub.go: the login, one goroutine that reads and one that writes). The clients' loops call Subscribe, Unsubscribe and
// Leave, which take a lock for a few map operations and never wait; what follows comes back by the Listener's methods.
//
// Whether a client's own LISTEN has committed is none of the hub's business: the session keeps what it is given until it
// knows, and drops it if it has not. Since the hub listened before that LISTEN began, nothing falls between the two.
//
// A channel of a hub:
//
//	none --first subscription: LISTEN sent--> asked --answered--> active
//	asked, active --last subscription ended: UNLISTEN sent--> none
//	asked --refused by the server--> none; those who wait are told why
//
// What can go wrong:
//
//	the login fails               those who wait are told why; so is who asks within the next second; then it is tried again
//	LISTEN is refused             those who wait for the channel are told why; the hub lives
//	the connection ends           every listener is told Lost: notifications may have been missed. Those who still wait for
//	  (restart, kill, network)    their first channel are told that it failed. The next subscription makes a new hub
//	the server says what cannot   the same
//	  be understood
//	the configuration changes     the same, when it says another login or server
//	a listener is slow            its session's business: the hub gives and forgets
//	pgtier stops                  the hub closes its connection and says nothing to its listeners, which have their own end
//
// Ownership: the connection belongs to the hub's goroutines. Frames given to listeners are shared and never changed.
package notify

import (
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Listener is a client that listens. It must be comparable. Its methods are called from the hub's goroutines and from
// within Subscribe; they must not block and must not call the hub.
type Listener interface {
	// Answered ends a Subscribe: the hub listens to the channel, or err says why it does not.
	Answered(channel string, err *pgerr.Error)
	// Heard gives NotificationResponse frames in the order in which the server sent them. They may be of a channel that has
	// just been unsubscribed. The frames must not be changed.
	Heard(frames [][]byte)
	// Lost says that the hub has gone and that the listener was subscribed to something.
	Lost()
}

// Options of Hubs.
type Options struct {
	// Dial logs in to the pool's server. It blocks, in a goroutine of its own, and ends with ctx. The error is one that
	// clients may see.
	Dial   func(ctx context.Context, p *pool.Pool) (net.Conn, *pgerr.Error)
	Log    *zap.Logger
	Linger time.Duration // how long a hub without subscriptions stays; 0 = a minute
	Retry  time.Duration // how long a failed login answers those who ask; 0 = a second
}

// Hubs is the hubs of all pools. Safe for concurrent use. Its lock is taken before a hub's, never after.
type Hubs struct {
	opt  Options
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	byPool map[*pool.Pool]*hub
	closed bool
}

// New returns Hubs without any hub. Close ends them.
func New(opt Options) *Hubs {
	if opt.Linger <= 0 {
		opt.Linger = time.Minute
	}
	if opt.Retry <= 0 {
		opt.Retry = time.Second
	}
	s := &Hubs{opt: opt, byPool: make(map[*pool.Pool]*hub)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

var errStopping = pgerr.New(pgerr.CannotConnectNow, "the database system is shutting down")

// Subscribe gives l what p's hub hears on channel, once Answered has said so. A channel that is listened to already is
// answered before Subscribe returns.
func (s *Hubs) Subscribe(l Listener, p *pool.Pool, channel string) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.Answered(channel, errStopping)
		return
	}
	h := s.byPool[p]
	done, ok := h.subscribe(l, channel)
	if !ok {
		h = newHub(s, p)
		s.byPool[p] = h
		done, _ = h.subscribe(l, channel)
		s.work.Go(h.run)
	}
	s.mu.Unlock()
	done.carryOut()
}

// Unsubscribe ends l's subscription to channel, if it has one.
func (s *Hubs) Unsubscribe(l Listener, p *pool.Pool, channel string) {
	if h := s.of(p); h != nil {
		h.do(func(c *core) { c.unsubscribe(l, channel) })
	}
}

// Leave ends all of l's subscriptions.
func (s *Hubs) Leave(l Listener, p *pool.Pool) {
	if h := s.of(p); h != nil {
		h.do(func(c *core) { c.leave(l) })
	}
}

// Retire ends p's hub: it has logged in in a way that is not wanted any more, perhaps to another server. Its listeners have
// lost it.
func (s *Hubs) Retire(p *pool.Pool) {
	if h := s.of(p); h != nil {
		h.retireOnce.Do(func() { close(h.retired) })
	}
}

// Len returns how many hubs there are: each has one server connection, or is about to.
func (s *Hubs) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byPool)
}

// Close ends every hub and returns when their goroutines have ended. No listener is called after that, but for the answer
// to a late Subscribe.
func (s *Hubs) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
}

func (s *Hubs) of(p *pool.Pool) *hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byPool[p]
}

// remove forgets h, unless another has taken its place.
func (s *Hubs) remove(h *hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPool[h.pool] == h {
		delete(s.byPool, h.pool)
	}
}
