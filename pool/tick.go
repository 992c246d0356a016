package pool

import "time"

// reserveIdle is how long a connection beyond Size may be idle. The rush that it was opened for is over by then.
const reserveIdle = int64(time.Minute)

// capRetry is when a pool that could not keep Min because of a cap tries again.
const capRetry = int64(time.Second)

// Next returns when the next Tick is useful, in the nanoseconds of Step's clock; 0 when nothing waits for time to pass.
// A Tick that comes earlier does no harm.
func (c *Core) Next() int64 {
	if len(c.heap) == 0 {
		return 0
	}
	return c.heap[0].due
}

// tick: time has passed. Only pools that are due are looked at, however many there are.
func (c *Core) tick() {
	for len(c.heap) > 0 && c.heap[0].due <= c.now {
		p := c.heap.pop()
		if c.draining {
			continue
		}
		c.maintain(p)
		// Never now again: a tick ends.
		if at := p.deadline(c.now); at != 0 {
			c.schedule(p, max(at, c.now+1))
		}
	}
}

// maintain closes what is too old or too many, opens what is missing.
func (c *Core) maintain(p *Pool) {
	for n := p.conns.all.back; n != nil; {
		cn := n.owner
		n = n.prev
		idled := c.now - cn.idled
		timeout := int64(p.set.ServerIdle)
		switch {
		case cn.expired(c.now),
			timeout > 0 && idled >= timeout && p.total() > p.set.Min,
			idled >= reserveIdle && p.total() > p.set.Size:
			c.close(cn)
		}
	}
	c.openForWaiters(p)
	c.keepMin(p)
	c.settle(p)
}

// deadline returns when maintain will have something to do next if no event comes, 0 = never. now is when maintain was
// called last.
func (p *Pool) deadline(now int64) int64 {
	var at int64
	earlier := func(t int64) {
		if t > now && (at == 0 || t < at) {
			at = t
		}
	}
	for n := p.conns.all.front; n != nil; n = n.next {
		earlier(p.idleDeadline(n.owner))
	}
	earlier(p.retryAt) // for those who will have come by then
	earlier(p.reserveDeadline())
	if p.total() < p.set.Min && !p.paused {
		earlier(max(p.retryAt, now+capRetry))
	}
	return at
}

// reserveDeadline returns when the reserve opens for the one who has waited longest; 0 = never.
func (p *Pool) reserveDeadline() int64 {
	w := p.waiting.first()
	if w == nil || p.set.Reserve <= 0 || p.set.ReserveAfter <= 0 {
		return 0
	}
	return w.since + int64(p.set.ReserveAfter)
}

// watchReserve makes p due for its reserve. It is called whenever another waiter has become the one who waits longest.
func (c *Core) watchReserve(p *Pool) { c.schedule(p, p.reserveDeadline()) }

// idleDeadline returns when an idle connection is closed if nobody needs it and the pool stays as it is; 0 = never.
func (p *Pool) idleDeadline(cn *Conn) int64 {
	at := cn.expires()
	if d := int64(p.set.ServerIdle); d > 0 && p.total() > p.set.Min && (at == 0 || cn.idled+d < at) {
		at = cn.idled + d
	}
	if p.total() > p.set.Size && (at == 0 || cn.idled+reserveIdle < at) {
		at = cn.idled + reserveIdle
	}
	return at
}

// schedule makes p due at the given time, or leaves it when it is due earlier; 0 is never. That p is due says only that
// somebody should look: a deadline that has gone is not taken back.
func (c *Core) schedule(p *Pool, at int64) {
	switch {
	case at == 0 || p.due != 0 && p.due <= at:
	case p.due == 0:
		p.due = at
		c.heap.push(p)
	default:
		p.due = at
		c.heap.up(p.place)
	}
}

// dueHeap is a binary heap of the pools that are due some time, the earliest first.
type dueHeap []*Pool

func (h *dueHeap) push(p *Pool) {
	p.place = len(*h)
	*h = append(*h, p)
	h.up(p.place)
}

// pop takes the first one out.
func (h *dueHeap) pop() *Pool {
	s := *h
	p, last := s[0], len(s)-1
	s[0] = s[last]
	s[0].place = 0
	s[last] = nil
	*h = s[:last]
	h.down(0)
	p.due = 0
	return p
}

func (h dueHeap) up(i int) {
	for i > 0 && h[i].due < h[(i-1)/2].due {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h dueHeap) down(i int) {
	for {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].due < h[least].due {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h dueHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
