package pool

const (
	// maxPassed is how often a waiter may see a later one preferred.
	maxPassed = 8
	// window is how many waiters are looked at for one that suits a connection better than the one whose turn it is.
	// It bounds the cost of a release, and with two loops it misses a match on the same loop once in 256.
	window = 8
	// maxSpare is how many records of identities without content a pool keeps. Everybody who has ever come would be
	// too many; fewer would make a pool of many identities allocate and free a record per transaction.
	maxSpare = 1024
)

// identity is a pool's record of one identity: the idle connections that carry its state and its waiters.
type identity struct {
	name    string
	idle    list[Conn]
	loops   []list[Conn] // idle again, by loop
	waiters list[Waiter] // in order of arrival
	parked  list[Waiter] // those beyond its share, likewise
	leases  int          // connections that it has on loan, where that is bounded
	filed   filing
	turn    node[identity] // its place in the list that filed names
}

// filing says which list of the pool an identity is in. It follows from its content alone.
type filing uint8

const (
	nowhere filing = iota // it has connections and no waiters in the queue
	inRing                // it has waiters
	inSpare               // it has nothing
)

// identity returns the record of name, a new or a reused one when it has none.
func (p *Pool) identity(name string) *identity {
	if who := p.identities[name]; who != nil {
		return who
	}
	who := &identity{}
	if p.spare.len >= maxSpare {
		who = p.spare.last()
		p.spare.remove(&who.turn)
		who.filed = nowhere
		delete(p.identities, who.name)
	}
	who.name = name
	p.identities[name] = who
	return who
}

// file moves who to the list that fits its content. It is the only function that does.
func (p *Pool) file(who *identity) {
	want := nowhere
	switch {
	case who.waiters.len > 0:
		want = inRing
	case who.idle.len == 0 && who.leases == 0 && who.parked.len == 0 && who != p.clean:
		want = inSpare
	}
	if want == who.filed {
		return
	}
	switch who.filed {
	case inRing:
		p.ring.remove(&who.turn)
	case inSpare:
		p.spare.remove(&who.turn)
	}
	switch want {
	case inRing:
		p.ring.pushBack(&who.turn, who)
	case inSpare:
		p.spare.pushFront(&who.turn, who)
	}
	who.filed = want
}

// enqueue puts w at the end of its identity's queue.
func (p *Pool) enqueue(w *Waiter, now int64) {
	who := p.identity(w.Identity)
	w.pool, w.who, w.since, w.passed = p, who, now, 0
	who.waiters.pushBack(&w.mine, w)
	p.waiting.pushBack(&w.queue, w)
	p.file(who)
}

// dequeue takes w out of the queue. served says that its identity has had its turn by that.
func (p *Pool) dequeue(w *Waiter, served bool) {
	who := w.who
	if w.parked {
		who.parked.remove(&w.mine)
		p.parked.remove(&w.queue)
		w.pool, w.who, w.parked = nil, nil, false
		p.file(who)
		return
	}
	who.waiters.remove(&w.mine)
	p.waiting.remove(&w.queue)
	w.pool, w.who = nil, nil
	if p.waiting.len == 0 {
		p.unblock()
	}
	if served && who.waiters.len > 0 {
		p.ring.remove(&who.turn)
		p.ring.pushBack(&who.turn, who)
	}
	p.file(who)
}

// next returns the waiter that gets c, nil when nobody waits.
//
// Identities take turns; within one, who came first is first. Within that order's first few, a waiter of c's own
// identity (c needs no reset then), and after that one on c's loop (c need not move), is preferred. Each waiter that
// is passed over for one counts it, and one that has been maxPassed times is not passed over again: so every waiter is
// served at the latest maxPassed grants after its turn.
func (p *Pool) next(c *Conn) *Waiter {
	var seen [window]*Waiter
	depth := max(1, window/max(1, p.ring.len))
	n, best, suits := 0, 0, -1
scan:
	for who := p.ring.front; who != nil; who = who.next {
		same := 0
		if who.owner.name == c.Identity {
			same = 2
		}
		taken := 0
		for x := who.owner.waiters.front; x != nil && taken < depth; x = x.next {
			if n == window {
				break scan
			}
			w := x.owner
			fit := same
			if w.Loop == c.Loop {
				fit++
			}
			seen[n] = w
			if fit > suits {
				best, suits = n, fit
			}
			n, taken = n+1, taken+1
			if suits == 3 || w.passed >= maxPassed {
				break scan
			}
		}
	}
	if n == 0 {
		return nil
	}
	for _, w := range seen[:best] {
		w.passed++
	}
	return seen[best]
}
