// Package relay has the event loops: it moves bytes between clients and servers once both have logged in.
//
// A Loop is one goroutine locked to its thread, with an epoll instance, one receive buffer and the sockets that are
// registered on it. It reads a socket into the shared buffer, lets the session (proxy/session) judge the bytes, and sends
// them on from where they lie. An idle client has no goroutine and no buffer.
//
// Ownership: a socket belongs to exactly one loop, and only that loop's thread touches it. A client stays on its loop for
// life. A server connection that another loop's client is granted moves: its loop takes it out of epoll, then posts it.
// Everything that other goroutines want of a loop they post to its inbox.
//
// The pool (package pool) is shared: its lock is held for one Step and never across I/O.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/handover"
	"github.com/pgtier/pgtier/proxy/notify"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

// Conn is a server connection that has logged in and is to be relayed on. The relay owns it from then on.
type Conn struct {
	Net    *handover.Conn
	TLS    *tls.Conn // over Net; nil without TLS
	PID    uint32
	Addr   string
	Params map[string]string // ParameterStatus
	Cancel Canceller
}

// Canceller sends a cancel request for what one server connection is running.
type Canceller interface {
	// Send returns when the server has closed the connection that carried the request, or when it failed.
	Send(ctx context.Context) error
}

// Dialer logs in to servers.
type Dialer interface {
	// Dial logs in once for p. A *DialError says what clients may be told. Called in a goroutine of its own.
	Dial(ctx context.Context, p *pool.Pool) (*Conn, error)
}

// DialError is a login that failed.
type DialError struct {
	Public   *pgerr.Error // what the clients that waited for it are told
	Definite bool         // the server refused for good: waiting longer does not help
	Cause    error        // for the log
}

func (e *DialError) Error() string { return e.Cause.Error() }
func (e *DialError) Unwrap() error { return e.Cause }

// Options of a Group.
type Options struct {
	Loops      int    // at least 1; 0 = one for every two processors
	Engine     string // one of the Engine names; "" = EngineAuto
	Pools      *pool.Set
	Dialer     Dialer
	Log        *zap.Logger
	CancelWait time.Duration                // how long a cancel request may hold its server connection back; 0 = 10s
	Ended      func(*session.Session, *End) // called on the session's loop: must not block
	Quiet      func(*pool.Pool)             // a paused pool has nothing left; called on a loop: must not block; nil = nobody asks
}

// End adds to a session's end what only the loop knows.
type End struct {
	Now int64 // monotonic nanoseconds
}

// Group is all the loops of the process.
type Group struct {
	opt    Options
	loops  []*Loop
	hubs   *notify.Hubs
	ctx    context.Context // ends logins and cancel requests under way
	stop   context.CancelFunc
	turns  sync.WaitGroup // loops
	work   sync.WaitGroup // logins and cancel requests
	next   atomic.Uint32
	live   atomic.Int64 // clients on all loops
	empty  chan struct{}
	closed atomic.Bool
}

// New starts the loops. Close ends them.
func New(opt Options) (*Group, error) {
	if opt.Loops <= 0 {
		opt.Loops = max(1, runtime.NumCPU()/2)
	}
	if opt.CancelWait <= 0 {
		opt.CancelWait = 10 * time.Second
	}
	// A loop holds its processor while it waits for a few milliseconds, so the rest of the program needs one of its own.
	if runtime.GOMAXPROCS(0) < opt.Loops+1 {
		runtime.GOMAXPROCS(opt.Loops + 1)
	}
	name, err := chooseEngine(opt.Engine)
	if err != nil {
		return nil, err
	}
	opt.Engine = name
	g := &Group{opt: opt, empty: make(chan struct{}, 1)}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.hubs = g.newHubs()
	for i := range opt.Loops {
		l, err := newLoop(g, i)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.loops = append(g.loops, l)
		started := make(chan error, 1)
		g.turns.Go(func() { l.run(started) })
		if err := <-started; err != nil {
			g.Close()
			return nil, err
		}
	}
	return g, nil
}

// Loops returns how many loops run.
func (g *Group) Loops() int { return len(g.loops) }

// Engine returns the name of the engine that the loops have.
func (g *Group) Engine() string { return g.opt.Engine }

// Live returns how many clients the loops have.
func (g *Group) Live() int { return int(g.live.Load()) }

// ErrClosed is returned by Adopt after Close.
var ErrClosed = errors.New("relay: closed")

// Adopt hands a client to a loop. The client owns its socket up to this call, whatever it returns. The Client that it
// returns names the session to Cancel and Kill.
func (g *Group) Adopt(nc *handover.Conn, tc *tls.Conn, cfg session.Config) (*Client, error) {
	if g.closed.Load() {
		_ = nc.Close()
		return nil, ErrClosed
	}
	if _, err := nc.Detach(); err != nil {
		return nil, err
	}
	l := g.choose()
	c := &Client{socket: socket{loop: l, nc: nc, tls: tc}}
	cfg.Now = now()
	c.sess = session.New(cfg)
	c.sess.Waiter.Owner, c.sess.Waiter.Loop = c, l.id
	c.client = c
	g.live.Add(1)
	l.post(task{do: taskAdopt, client: c})
	return c, nil
}

// choose returns the loop for a new client: the first one that is not saturated, since one busy loop is cheaper than two
// half-idle ones (bigger batches), or else each in its turn.
func (g *Group) choose() *Loop {
	for _, l := range g.loops {
		if l.busy.Load() < saturated {
			return l
		}
	}
	return g.loops[int(g.next.Add(1))%len(g.loops)]
}

// saturated is the share of time, in percent, that a loop works without waiting before clients go to the next one.
const saturated = 75

// Cancel acts on a cancel request for c.
func (g *Group) Cancel(c *Client) { c.loop.post(task{do: taskCancel, client: c}) }

// Kill ends c's session with e.
func (g *Group) Kill(c *Client, reason session.Reason, e *pgerr.Error) {
	c.loop.post(task{do: taskKill, client: c, err: e, reason: reason})
}

// Tell tells the pools of an event that comes from outside: Resize, Retire, Pause, Resume. Events are dealt with in the order
// in which they are told.
func (g *Group) Tell(ev pool.Event) {
	g.loops[0].post(task{do: taskPool, event: ev})
	if ev.Kind == pool.Retire {
		g.hubs.Retire(ev.Pool)
	}
}

// Reconnect replaces the pool's server connections as they come back. Unlike Retire it leaves the connection that listens
// for the pool's clients: closing that would end those of them who listen.
func (g *Group) Reconnect(p *pool.Pool) {
	g.loops[0].post(task{do: taskPool, event: pool.Event{Kind: pool.Retire, Pool: p}})
}

// Drain ends every session as soon as it has no transaction, and returns when none is left or ctx ends.
func (g *Group) Drain(ctx context.Context) error {
	for _, l := range g.loops {
		l.post(task{do: taskDrain})
	}
	for g.live.Load() > 0 {
		select {
		case <-g.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close ends everything at once: sessions, servers, loops. It returns when all of it has stopped.
func (g *Group) Close() {
	g.closed.Store(true)
	g.stop()
	g.hubs.Close() // before the loops: it posts to them
	for _, l := range g.loops {
		l.post(task{do: taskStop})
	}
	g.turns.Wait()
	g.work.Wait() // they may have posted to a loop that had stopped
	for _, l := range g.loops {
		l.tidy()
	}
}

// left is called when a client is gone.
func (g *Group) left() {
	if g.live.Add(-1) == 0 {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

var epoch = time.Now()

// now is the monotonic clock of the process, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }
