package pool

import (
	"fmt"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// errDraining is what waiters get from Drain on. It is shared: nobody may change it.
var errDraining = pgerr.Fatal(pgerr.CannotConnectNow, "pgtier is shutting down")

// Core holds all pools and decides who gets which connection. It is deterministic: the same events at the same times
// give the same actions. It is not safe for concurrent use; Set is.
type Core struct {
	pools    map[Key]*Pool
	order    []*Pool // as they were made
	caps     [numCaps]map[domainKey]*domain
	heap     dueHeap
	draining bool

	loops    int    // how many loops waiters have come from: the highest number and one
	nextLoop int    // where the next connection to keep Min goes
	serial   uint64 // of the latest connection

	// Valid during a Step.
	now int64
	out []Action
}

// NewCore returns a Core without pools.
func NewCore() *Core {
	c := &Core{pools: make(map[Key]*Pool), loops: 1}
	for i := range c.caps {
		c.caps[i] = make(map[domainKey]*domain)
	}
	return c
}

// Pool returns the pool of key. It is made with the settings s when there is none; otherwise s is not looked at: a
// pool's settings change by Resize.
func (c *Core) Pool(key Key, s Settings) *Pool {
	if p := c.pools[key]; p != nil {
		return p
	}
	p := &Pool{Key: key, identities: make(map[string]*identity)}
	p.clean = p.identity("")
	c.pools[key] = p
	c.order = append(c.order, p)
	c.configure(p, s)
	p.paused, p.pausedAt = s.Paused, c.now
	if p.set.Min > 0 {
		c.schedule(p, 1)
	}
	return p
}

// Step takes one event at the time now, in nanoseconds of a monotonic clock, and appends what must be done to out. An
// event that cannot happen panics with a text that begins with "BUG: " and changes nothing.
func (c *Core) Step(now int64, ev Event, out []Action) []Action {
	// Loops read the clock before they get the lock, so times may arrive slightly out of order.
	c.now, c.out = max(c.now, now), out
	switch ev.Kind {
	case Acquire:
		c.acquire(ev.Pool, ev.Waiter)
	case Cancel:
		c.cancel(ev.Waiter)
	case Opened:
		c.opened(ev.Pool, ev.Conn)
	case OpenFailed:
		c.openFailed(ev.Pool, ev.Err, ev.Definite)
	case Released:
		c.released(ev.Conn)
	case Discarded:
		c.discarded(ev.Conn)
	case Lost:
		c.lost(ev.Conn)
	case Tick:
		c.tick()
	case Resize:
		c.resize(ev.Pool, ev.Settings)
	case Retire:
		c.retire(ev.Pool)
	case Drain:
		c.drain()
	case Pause:
		c.pausePool(ev.Pool)
	case Resume:
		c.resumePool(ev.Pool)
	default:
		panic(fmt.Sprintf("BUG: pool: event %d", ev.Kind))
	}
	out, c.out = c.out, nil
	return out
}

// acquire: lend an idle connection, or let w wait for one.
func (c *Core) acquire(p *Pool, w *Waiter) {
	if w.pool != nil {
		panic("BUG: pool: a waiter that is queued acquires again")
	}
	c.sawLoop(w.Loop)
	if c.draining {
		c.reject(p, w, errDraining)
		return
	}
	if p.atBound(w) {
		p.park(w, c.now)
		return
	}
	c.serve(p, w)
}

// serve is acquire for a waiter whose turn it may be.
func (c *Core) serve(p *Pool, w *Waiter) {
	for cn := p.best(w); cn != nil; cn = p.best(w) {
		if cn.expired(c.now) {
			c.close(cn)
			continue
		}
		p.takeIdle(cn)
		p.leased++
		c.grant(w, cn)
		if cn.Identity != "" && cn.Identity != w.Identity {
			c.grow(p, w.Loop)
		}
		return
	}
	if p.refused != nil && c.now < p.retryAt && p.leased == 0 && !p.paused {
		c.reject(p, w, p.refused)
		c.settle(p)
		return
	}
	p.enqueue(w, c.now)
	c.openForWaiters(p)
	c.settle(p)
	c.watchReserve(p)
}

// cancel: w leaves the queue. A waiter whose grant is already on its way is not touched: its session gives the
// connection back.
func (c *Core) cancel(w *Waiter) {
	if p := w.pool; p != nil {
		who := w.who
		p.dequeue(w, false)
		c.watchReserve(p)
		c.unpark(p, who)
	}
}

// released: c comes back from its session.
func (c *Core) released(cn *Conn) {
	if cn.state != leased {
		panic("BUG: pool: a connection is released that is not on loan")
	}
	c.sawLoop(cn.Loop)
	p := cn.pool
	who := p.handedBack(cn)
	if c.mustYield(cn) {
		c.close(cn)
		c.settle(p)
		c.openForWaiters(p)
	} else {
		c.lend(cn)
	}
	c.unpark(p, who)
}

// lend gives a connection that has no session to whose turn it is, to the idle ones, or away.
func (c *Core) lend(cn *Conn) {
	p := cn.pool
	if c.draining || p.paused || p.surplus() || cn.expired(c.now) {
		c.close(cn)
		c.settle(p)
		c.openForWaiters(p)
		return
	}
	if w := p.next(cn); w != nil {
		p.dequeue(w, true)
		c.watchReserve(p)
		c.grant(w, cn)
		return
	}
	p.leased--
	p.putIdle(cn, c.now)
	c.schedule(p, p.idleDeadline(cn))
	c.settle(p)
}

// discarded: a session closed its connection.
func (c *Core) discarded(cn *Conn) {
	if cn.state != leased {
		panic("BUG: pool: a connection is discarded that is not on loan")
	}
	p := cn.pool
	who := p.handedBack(cn)
	c.forget(cn)
	c.tellQuiet(p)
	c.settle(p)
	c.openForWaiters(p)
	c.unpark(p, who)
}

// lost: an idle connection's socket ended. If it is on loan by now, its session finds out by itself; if the Core has
// just closed it, there is nothing to do.
func (c *Core) lost(cn *Conn) {
	if cn.state != idle {
		return
	}
	p := cn.pool
	c.close(cn)
	c.settle(p)
}

// drain: from now on there are only connections that come back to be closed.
func (c *Core) drain() {
	c.draining = true
	for _, p := range c.order {
		c.rejectAll(p, errDraining)
		for cn := p.conns.all.last(); cn != nil; cn = p.conns.all.last() {
			c.close(cn)
		}
		p.unblock()
	}
}

// total is how many server connections the pool has or is about to have.
func (p *Pool) total() int { return p.conns.all.len + p.leased + p.opening }

// forget takes a connection out of all books.
func (c *Core) forget(cn *Conn) {
	p := cn.pool
	if cn.state == idle {
		p.takeIdle(cn)
	} else {
		p.leased--
	}
	cn.state = unknown
	p.count(-1)
	if p.total() < p.set.Min {
		c.schedule(p, c.now)
	}
}

// close forgets a connection and has it closed.
func (c *Core) close(cn *Conn) {
	c.forget(cn)
	c.out = append(c.out, Action{Kind: Close, Pool: cn.pool, Conn: cn})
	c.tellQuiet(cn.pool)
}

func (c *Core) grant(w *Waiter, cn *Conn) {
	cn.pool.lent(cn, w)
	c.out = append(c.out, Action{Kind: Grant, Pool: cn.pool, Waiter: w, Conn: cn})
}

func (c *Core) reject(p *Pool, w *Waiter, err error) {
	c.out = append(c.out, Action{Kind: Reject, Pool: p, Waiter: w, Err: err})
}

// rejectAll rejects every waiter, in order of arrival.
func (c *Core) rejectAll(p *Pool, err error) {
	for _, l := range []*list[Waiter]{&p.waiting, &p.parked} {
		for w := l.first(); w != nil; w = l.first() {
			p.dequeue(w, false)
			c.reject(p, w, err)
		}
	}
}

func (c *Core) sawLoop(loop int) {
	if loop < 0 || loop >= maxLoops {
		panic(fmt.Sprintf("BUG: pool: loop %d", loop))
	}
	c.loops = max(c.loops, loop+1)
}
