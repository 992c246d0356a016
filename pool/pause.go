package pool

import "time"

// pausePool: nothing is lent or opened any more. What is idle is closed now, what is on loan when it comes back and what logs in
// when it has: so the server may be restarted, moved or renamed, and nobody gets a connection from before. Waiters wait; new
// ones join them.
func (c *Core) pausePool(p *Pool) {
	if !p.paused {
		p.paused, p.pausedAt = true, c.now
		p.unblock()
	}
	if p.conns.all.len == 0 {
		c.tellQuiet(p) // otherwise closing the last one does
	}
	for p.conns.all.len > 0 {
		c.close(p.conns.all.last())
	}
	c.settle(p)
}

// tellQuiet says that a paused pool has come to rest.
func (c *Core) tellQuiet(p *Pool) {
	if p.paused && p.total() == 0 {
		c.out = append(c.out, Action{Kind: Quiet, Pool: p})
	}
}

// resumePool: those who wait are served as if the pause had not been. Whether the server can be logged in to is found out anew.
func (c *Core) resumePool(p *Pool) {
	if !p.paused {
		return
	}
	for _, l := range [...]*list[Waiter]{&p.waiting, &p.parked} {
		for n := l.front; n != nil; n = n.next {
			w := n.owner
			w.Paused = w.pausedFor(c.now)
			w.since += c.now - max(w.since, p.pausedAt)
		}
	}
	p.paused = false
	p.failures, p.retryAt, p.lastErr, p.refused = 0, 0, nil, nil
	c.openForWaiters(p)
	c.watchReserve(p)
	c.settle(p)
	c.schedule(p, c.now) // for Min
}

// pausedFor is Waiter.Paused with the pause that lasts.
func (w *Waiter) pausedFor(now int64) time.Duration {
	if p := w.pool; p != nil && p.paused {
		return w.Paused + time.Duration(max(0, now-max(w.since, p.pausedAt)))
	}
	return w.Paused
}
