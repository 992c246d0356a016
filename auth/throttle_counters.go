package auth

import (
	"container/list"
	"time"
)

// rule says how failures of one kind are counted: the first `free` cost nothing, the next one a pause of `first`, which
// doubles with each further one up to `longest`. One failure is forgotten per `forget`. With queue, attempts at the same time
// wait for one another, too; without, nobody ever waits longer than `longest`.
type rule struct {
	free           int
	first, longest time.Duration
	forget         time.Duration
	queue          bool
}

// pause is how long the next attempt has to keep away after the given number of failures.
func (r rule) pause(failures int) time.Duration {
	p := r.first
	for range failures - r.free {
		if p >= r.longest {
			break
		}
		p *= 2
	}
	if failures < r.free {
		return 0
	}
	return min(p, r.longest)
}

// most is the number of failures that is counted at most: those that reach the longest pause. More would only be remembered longer.
func (r rule) most() int {
	n := r.free
	for r.pause(n) < r.longest {
		n++
	}
	return n
}

// counters is a bounded set of counters, the most recently changed first.
type counters struct {
	rule    rule
	most    int
	entries map[uint64]*list.Element
	order   *list.List // of *counter
}

type counter struct {
	key      uint64
	failures int
	updated  time.Time // up to when failures have been forgotten
	next     time.Time // no attempt before; zero: any time
}

func newCounters(r rule) counters {
	return counters{rule: r, most: r.most(), entries: make(map[uint64]*list.Element), order: list.New()}
}

// get returns the counter of key, nil when there is none.
func (s *counters) get(key uint64) *counter {
	if e := s.entries[key]; e != nil {
		return e.Value.(*counter)
	}
	return nil
}

// touch returns the counter of key and makes one when there is none, at the cost of the oldest.
func (s *counters) touch(now time.Time, key uint64) *counter {
	if e := s.entries[key]; e != nil {
		s.order.MoveToFront(e)
		c := e.Value.(*counter)
		c.forget(now, s.rule.forget)
		return c
	}
	if s.order.Len() >= counterEntries {
		s.remove(s.order.Back().Value.(*counter).key)
	}
	c := &counter{key: key, updated: now}
	s.entries[key] = s.order.PushFront(c)
	return c
}

func (s *counters) remove(key uint64) {
	if e := s.entries[key]; e != nil {
		s.order.Remove(e)
		delete(s.entries, key)
	}
}

// forget lets failures go that are old enough. A rule without forgetting keeps only the time.
func (c *counter) forget(now time.Time, each time.Duration) {
	if each <= 0 || c.failures == 0 {
		c.updated = now
		return
	}
	if n := int(now.Sub(c.updated) / each); n > 0 {
		c.failures = max(0, c.failures-n)
		c.updated = c.updated.Add(time.Duration(n) * each)
	}
}

// wait returns how long an attempt must wait.
func (s *counters) wait(now time.Time, key uint64) time.Duration {
	c := s.get(key)
	if c == nil {
		return 0
	}
	c.forget(now, s.rule.forget)
	if c.failures < s.rule.free {
		return 0
	}
	return max(0, c.next.Sub(now))
}

// reserve takes the place at the given time, if places are scarce: whoever comes next waits for one after it.
func (s *counters) reserve(at time.Time, key uint64) {
	if c := s.get(key); c != nil && s.rule.queue && c.failures >= s.rule.free {
		c.next = at.Add(s.rule.pause(c.failures))
	}
}

// release gives a reserved place back: an attempt that succeeded does not hold up its neighbours.
func (s *counters) release(now time.Time, key uint64) {
	if c := s.get(key); c != nil {
		c.next = now
	}
}

// fail counts a failure.
func (s *counters) fail(now time.Time, key uint64) {
	c := s.touch(now, key)
	c.failures = min(c.failures+1, s.most)
	if at := now.Add(s.rule.pause(c.failures)); at.After(c.next) {
		c.next = at
	}
}
