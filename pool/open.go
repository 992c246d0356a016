package pool

import "time"

const (
	// maxOpening is how many logins one pool may have under way. A login costs PostgreSQL a fork and a SCRAM exchange;
	// more at once make all of them slower, fewer make a burst wait.
	maxOpening = 8
	// firstRetry is the pause after the first failed login. It doubles up to LoginRetry, so that a restart of
	// PostgreSQL is noticed within about its own duration again.
	firstRetry = 100 * time.Millisecond
)

// opened: a login succeeded. The connection goes to whom it suits, and a pool that was careful after failures opens
// for its other waiters at full speed again.
func (c *Core) opened(p *Pool, cn *Conn) {
	if p.opening == 0 || cn.state != unknown {
		panic("BUG: pool: a connection opened that nobody asked for")
	}
	c.sawLoop(cn.Loop)
	c.serial++
	p.opening--
	p.leased++
	p.failures, p.retryAt, p.lastErr, p.refused = 0, 0, nil, nil
	cn.Identity, cn.pool, cn.state, cn.born, cn.spread = "", p, leased, c.now, spread(c.serial)
	cn.epoch = p.epoch
	if p.stale > 0 {
		p.stale--
		cn.epoch--
	}
	c.lend(cn)
	c.openForWaiters(p)
}

// spread returns a number from -102 to 102 that looks random and depends on the serial only (the finaliser of
// SplitMix64, Steele et al. 2014).
func spread(serial uint64) int64 {
	z := serial * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int64((z^z>>31)%205) - 102
}

// openFailed: a login failed. The whole pool pauses; after a definite refusal its waiters learn that at once, after
// anything else they go on waiting.
func (c *Core) openFailed(p *Pool, err error, definite bool) {
	if p.opening == 0 || err == nil {
		panic("BUG: pool: a login failed that nobody asked for, or without an error")
	}
	p.opening--
	p.count(-1)
	if p.stale > 0 {
		p.stale--
	}
	// Logins that were under way together fail together: they count as one failure.
	if c.now >= p.retryAt {
		p.failures++
		p.retryAt = c.now + int64(p.pause(definite))
	}
	p.lastErr, p.refused = err, nil
	if p.paused {
		// Whoever paused it may be at work on the server: what it said meanwhile is no answer to those who wait.
		c.tellQuiet(p)
	} else if definite {
		p.refused = err
		p.retryAt = max(p.retryAt, c.now+int64(p.pause(true)))
		c.rejectAll(p, err)
	}
	p.unblock()
	c.schedule(p, p.retryAt)
	c.settle(p)
}

// pause is how long the pool does not log in after its latest failure.
func (p *Pool) pause(definite bool) time.Duration {
	longest := max(p.set.LoginRetry, firstRetry)
	if definite {
		return longest
	}
	d := firstRetry
	for i := 1; i < p.failures && d < longest; i++ {
		d *= 2
	}
	return min(d, longest)
}

// mayOpen tells whether the pool itself has nothing against one more login, with at most limit connections.
func (c *Core) mayOpen(p *Pool, limit int) bool {
	logins := maxOpening
	if p.failures > 0 {
		logins = 1 // one tries whether the server is back
	}
	return !c.draining && !p.paused && c.now >= p.retryAt && p.opening < logins && p.total() < limit
}

// wantsOpen tells whether a waiter is there for whom one more login makes sense.
func (c *Core) wantsOpen(p *Pool) bool {
	return p.opening < p.waiting.len && c.mayOpen(p, p.limit(c.now))
}

// limit is how many connections the pool may have now: Size, and the reserve when somebody has waited long enough.
func (p *Pool) limit(now int64) int {
	w := p.waiting.first()
	if w == nil || p.set.ReserveAfter <= 0 || now-w.since < int64(p.set.ReserveAfter) {
		return p.set.Size
	}
	return p.set.Size + p.set.Reserve
}

// openForWaiters logs in for as many waiters as the limits allow.
func (c *Core) openForWaiters(p *Pool) {
	for c.wantsOpen(p) {
		if d := c.makeRoom(p); d != nil {
			c.block(p, d)
			return
		}
		c.open(p, p.uncovered().Loop)
	}
}

// uncovered returns the first waiter, in order of arrival, for whom no login is under way. There must be one.
func (p *Pool) uncovered() *Waiter {
	n := p.waiting.front
	for range p.opening {
		n = n.next
	}
	return n.owner
}

// grow opens one connection more because the only idle one there was carried another identity's state: identities that
// alternate come to have a connection each. It never takes a connection from another pool.
func (c *Core) grow(p *Pool, loop int) {
	if p.opening == 0 && c.mayOpen(p, p.set.Size) && p.fullDomain() == nil {
		c.open(p, loop)
	}
}

// keepMin opens what is missing to Min. It never takes a connection from another pool.
func (c *Core) keepMin(p *Pool) {
	for c.mayOpen(p, p.set.Min) && p.fullDomain() == nil {
		c.open(p, c.nextLoop%c.loops)
		c.nextLoop++
	}
}

func (c *Core) open(p *Pool, loop int) {
	p.opening++
	p.count(+1)
	c.out = append(c.out, Action{Kind: Open, Pool: p, Loop: loop})
}
