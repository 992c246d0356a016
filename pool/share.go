package pool

// A pool may bound how many of its connections one identity has on loan at once (Settings.PerIdentity). Who is at the bound
// does not compete: a waiter too many is parked, outside the queue and the turns, until one of its identity's leases or
// waiters is gone. So nothing else here needs to know of the bound: whoever is in the queue may be served.
//
//	acquire --at the bound--> parked --a lease of the identity ends--> queue --> lease
//	        --below it----------------------------------------------->

// atBound reports whether one more waiter of w's identity would exceed its share.
func (p *Pool) atBound(w *Waiter) bool {
	if p.set.PerIdentity <= 0 {
		return false
	}
	who := p.identities[w.Identity]
	return who != nil && who.leases+who.waiters.len >= p.set.PerIdentity
}

// park keeps w out of the queue.
func (p *Pool) park(w *Waiter, now int64) {
	who := p.identity(w.Identity)
	w.pool, w.who, w.since, w.parked = p, who, now, true
	who.parked.pushBack(&w.mine, w)
	p.parked.pushBack(&w.queue, w)
	p.file(who)
}

// unpark serves those of who's parked waiters for whom there is a place now.
func (c *Core) unpark(p *Pool, who *identity) {
	for who != nil && who.parked.len > 0 && !p.atBound(who.parked.first()) {
		w := who.parked.first()
		w.Paused = w.pausedFor(c.now)
		p.dequeue(w, false)
		c.serve(p, w)
	}
}

// unparkAll is unpark for everybody, in order of arrival: the bound may have changed.
func (c *Core) unparkAll(p *Pool) {
	for n := p.parked.front; n != nil; {
		w := n.owner
		n = n.next
		if !p.atBound(w) {
			w.Paused = w.pausedFor(c.now)
			p.dequeue(w, false)
			c.serve(p, w)
		}
	}
}

// lent books a connection with the identity that gets it. Leases that began without a bound are not counted later.
func (p *Pool) lent(cn *Conn, w *Waiter) {
	if p.set.PerIdentity <= 0 {
		return
	}
	who := p.identity(w.Identity)
	who.leases++
	cn.by = who
	p.file(who)
}

// handedBack takes a connection that was on loan out of its identity's books, and returns whose it was; nil when it is in none.
func (p *Pool) handedBack(cn *Conn) *identity {
	who := cn.by
	if who != nil {
		cn.by = nil
		who.leases--
		p.file(who)
	}
	return who
}
