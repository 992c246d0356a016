package pool

// An idle connection is filed under everything that it may be looked for by. All lists have the connection that was
// used last in front.
const (
	inPool     = iota // all idle ones of the pool
	onLoop            // those of one loop
	ofIdentity        // those of one identity
	ofBoth            // those of one identity on one loop
	inCap             // all of each domain that has a cap, by its kind
	numIndexes = inCap + numCaps
)

// maxLoops bounds Waiter.Loop and Conn.Loop: lists are indexed by them.
const maxLoops = 4096

// idleIndex is a pool's idle connections, newest first.
type idleIndex struct {
	all   list[Conn]
	loops []list[Conn] // by loop
}

// newest returns the connection of the loop that was used last, nil when there is none.
func newest(loops []list[Conn], loop int) *Conn {
	if loop >= len(loops) {
		return nil
	}
	return loops[loop].first()
}

// grown returns loops with a place for loop. Growing moves the lists, which their elements do not mind.
func grown(loops []list[Conn], loop int) []list[Conn] {
	for loop >= len(loops) {
		loops = append(loops, list[Conn]{})
	}
	return loops
}

// best returns the idle connection that suits w best, nil when none is idle:
//
//  1. w's identity had it last, and it is on w's loop: nothing to reset, nothing to move
//  2. clean and on w's loop
//  3. w's identity had it last, on another loop
//  4. another identity had it last, on w's loop
//  5. any; clean ones first
func (p *Pool) best(w *Waiter) *Conn {
	if p.conns.all.len == 0 {
		return nil
	}
	own := p.identities[w.Identity]
	if own != nil {
		if c := newest(own.loops, w.Loop); c != nil {
			return c
		}
	}
	if c := newest(p.clean.loops, w.Loop); c != nil {
		return c
	}
	if own != nil {
		if c := own.idle.first(); c != nil {
			return c
		}
	}
	if c := newest(p.conns.loops, w.Loop); c != nil {
		return c
	}
	if c := p.clean.idle.first(); c != nil {
		return c
	}
	return p.conns.all.first()
}

// putIdle files a connection that nobody waits for.
func (p *Pool) putIdle(c *Conn, now int64) {
	who := p.identity(c.Identity)
	c.state, c.idled, c.who, c.loop = idle, now, who, c.Loop
	p.conns.loops = grown(p.conns.loops, c.loop)
	who.loops = grown(who.loops, c.loop)

	p.conns.all.pushFront(&c.links[inPool], c)
	p.conns.loops[c.loop].pushFront(&c.links[onLoop], c)
	who.idle.pushFront(&c.links[ofIdentity], c)
	who.loops[c.loop].pushFront(&c.links[ofBoth], c)
	for i, d := range p.domains {
		if d != nil {
			d.idle.pushFront(&c.links[inCap+i], c)
		}
	}
	p.file(who)
}

// takeIdle takes an idle connection out of every list. Its state is leased then.
func (p *Pool) takeIdle(c *Conn) {
	who := c.who
	p.conns.all.remove(&c.links[inPool])
	p.conns.loops[c.loop].remove(&c.links[onLoop])
	who.idle.remove(&c.links[ofIdentity])
	who.loops[c.loop].remove(&c.links[ofBoth])
	for i, d := range p.domains {
		if d != nil {
			d.idle.remove(&c.links[inCap+i])
		}
	}
	c.state, c.who = leased, nil
	p.file(who)
}

// expired tells whether c is too old to be lent again. Every connection has its own deviation of up to a tenth, so
// that connections opened together do not all end together.
func (c *Conn) expired(now int64) bool {
	if c.epoch != c.pool.epoch {
		return true
	}
	at := c.expires()
	return at != 0 && now >= at
}

// expires returns when c becomes too old, 0 = never.
func (c *Conn) expires() int64 {
	life := int64(c.pool.set.ServerLifetime)
	if life <= 0 {
		return 0
	}
	return c.born + life + life/1024*c.spread
}
