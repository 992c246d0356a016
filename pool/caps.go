package pool

import "time"

// A cap bounds the server connections of several pools together.
const (
	perTier     = iota // all pools with the same Key.Database and Key.Tier
	perDatabase        // all pools with the same Key.Database
	perServer          // all pools with the same Settings.Server
	numCaps
)

// yieldAfter is how long a pool that a cap blocks waits before larger pools of the same cap give connections up to it
// although they could use them themselves. A login costs more than a short wait, so it is not done at once.
const yieldAfter = int64(time.Second)

// domain is the pools that share a cap.
type domain struct {
	limit   int        // the cap, as the pool that was configured last has it
	total   int        // connections and logins of all its pools
	idle    list[Conn] // idle connections of all its pools, the one used last in front
	blocked list[Pool] // pools that want to log in and may not, in the order in which they get the next chance
}

// domainKey names a domain among those of its kind.
type domainKey struct {
	database string // or the server
	tier     string
}

// capacity returns the pool's cap of kind i and the name of its domain; 0 when it has none.
func (p *Pool) capacity(i int) (of domainKey, limit int) {
	switch {
	case i == perTier:
		return domainKey{p.Key.Database, p.Key.Tier}, p.set.PerTier
	case i == perDatabase:
		return domainKey{database: p.Key.Database}, p.set.PerDatabase
	case p.set.Server == "":
		return domainKey{}, 0
	}
	return domainKey{database: p.set.Server}, p.set.PerServer
}

// count books n connections more or less with the pool's domains.
func (p *Pool) count(n int) {
	for _, d := range p.domains {
		if d != nil {
			d.total += n
		}
	}
}

// full tells whether the cap of kind i forbids one more connection.
func (p *Pool) full(i int) bool {
	d := p.domains[i]
	return d != nil && d.total >= d.limit
}

// fullDomain returns the domain whose cap forbids one more connection, nil when none does.
func (p *Pool) fullDomain() *domain {
	for i, d := range p.domains {
		if p.full(i) {
			return d
		}
	}
	return nil
}

// makeRoom closes the idle connections, least recently used first, whose places p needs. It returns the domain that
// has neither room nor an idle connection, nil when p may log in.
func (c *Core) makeRoom(p *Pool) *domain {
	for i, d := range p.domains {
		if p.full(i) && d.idle.len == 0 {
			return d // nothing is closed in the one domain for nothing
		}
	}
	// The smallest domain's first: such a connection is one of the larger ones as well.
	for i, d := range p.domains {
		for p.full(i) {
			victim := d.idle.last()
			if victim == nil {
				return d
			}
			c.close(victim)
		}
	}
	return nil
}

// block queues p for d, at the end, unless it queues already.
func (c *Core) block(p *Pool, d *domain) {
	if p.blockedOn == d {
		return
	}
	p.unblock()
	d.blocked.pushBack(&p.blocked, p)
	p.blockedOn = d
}

func (p *Pool) unblock() {
	if p.blockedOn != nil {
		p.blockedOn.blocked.remove(&p.blocked)
		p.blockedOn = nil
	}
}

// settle gives capacity that p's last change set free to the pools that wait for it.
func (c *Core) settle(p *Pool) {
	for _, d := range p.domains {
		if d != nil && d.blocked.len > 0 {
			c.serveBlocked(d)
		}
	}
}

// serveBlocked lets the pools that d blocks log in, one connection each in turns, as long as there is room.
func (c *Core) serveBlocked(d *domain) {
	for p := c.firstBlocked(d); p != nil; p = c.firstBlocked(d) {
		switch other := c.makeRoom(p); other {
		case nil:
			p.unblock()
			c.open(p, p.uncovered().Loop)
			if c.wantsOpen(p) {
				c.block(p, d)
			}
		case d:
			return
		default:
			c.block(p, other)
		}
	}
}

// firstBlocked returns the pool whose turn is next, nil when no pool waits for d any more. Pools that found what they
// needed elsewhere leave the queue here.
func (c *Core) firstBlocked(d *domain) *Pool {
	for p := d.blocked.first(); p != nil; p = d.blocked.first() {
		if c.wantsOpen(p) {
			return p
		}
		p.unblock()
	}
	return nil
}

// mustYield tells whether cn's pool p should give it up although it has waiters itself, because a pool under the same
// cap has waited for long and has fewer. Without it a busy pool that took the whole cap would keep it for ever. It ends
// when both have equally many, so nothing goes back and forth; only where there are more busy pools than places do they
// take turns, as identities do that have a pool each, and a turn is not so short that all of it is logging in.
func (c *Core) mustYield(cn *Conn) bool {
	p := cn.pool
	for _, d := range p.domains {
		if d == nil || d.blocked.len == 0 {
			continue
		}
		q := c.firstBlocked(d)
		if q == nil || q == p || c.now-q.waiting.first().since < yieldAfter {
			continue
		}
		if p.total() > q.total()+1 || q.total() == 0 && c.now-cn.born >= yieldAfter {
			return true
		}
	}
	return false
}

// surplus tells whether the pool has more connections than its limits allow, as after a Resize.
func (p *Pool) surplus() bool {
	if p.total() > p.set.Size+p.set.Reserve {
		return true
	}
	for _, d := range p.domains {
		if d != nil && d.total > d.limit {
			return true
		}
	}
	return false
}

// configure gives p its settings and books it with the domains that they name.
func (c *Core) configure(p *Pool, s Settings) {
	s.Size = max(s.Size, 1)
	s.Min = min(s.Min, s.Size)
	p.unblock()
	p.count(-p.total())
	for i, d := range p.domains {
		if d == nil {
			continue
		}
		for n := p.conns.all.front; n != nil; n = n.next {
			d.idle.remove(&n.owner.links[inCap+i])
		}
	}
	p.set = s
	for i := range p.domains {
		p.domains[i] = c.domain(i, p)
		if p.domains[i] == nil {
			continue
		}
		// They come to the front in their own order, before those of other pools: the order across pools is right
		// again once each of them has been used.
		for n := p.conns.all.back; n != nil; n = n.prev {
			p.domains[i].idle.pushFront(&n.owner.links[inCap+i], n.owner)
		}
	}
	p.count(p.total())
}

// domain returns p's domain of kind i, nil when p has no such cap.
func (c *Core) domain(i int, p *Pool) *domain {
	of, limit := p.capacity(i)
	if limit <= 0 {
		return nil
	}
	d := c.caps[i][of]
	if d == nil {
		d = &domain{}
		c.caps[i][of] = d
	}
	d.limit = limit
	return d
}

// retire: how to log in has changed. Idle connections are closed now, leased ones when they come back; waiters get new ones,
// and a refusal of the past is forgotten.
func (c *Core) retire(p *Pool) {
	p.epoch++
	p.stale = p.opening
	p.failures, p.retryAt, p.lastErr, p.refused = 0, 0, nil, nil
	for p.conns.all.len > 0 {
		c.close(p.conns.all.last())
	}
	c.settle(p)
	c.openForWaiters(p)
}

// resize: new settings. What is too many is closed now when it is idle, and when it comes back otherwise.
func (c *Core) resize(p *Pool, s Settings) {
	old := p.domains
	c.configure(p, s)
	for p.conns.all.len > 0 && p.total() > p.set.Size {
		c.close(p.conns.all.last())
	}
	for _, d := range p.domains {
		for d != nil && d.idle.len > 0 && d.total > d.limit {
			c.close(d.idle.last())
		}
	}
	c.openForWaiters(p)
	c.settle(p)
	for _, d := range old { // the domains that it may have left
		if d != nil {
			c.serveBlocked(d)
		}
	}
	c.unparkAll(p)
	c.schedule(p, c.now)
}
