package pool

import (
	"slices"
	"sync"
	"time"
)

// Set is a Core that many loops use at once: one lock, held for the nanoseconds of a Step and never across I/O. The
// lock is the innermost one: nothing else is locked under it.
type Set struct {
	mu   sync.Mutex
	core *Core
}

// NewSet returns a Set without pools.
func NewSet() *Set { return &Set{core: NewCore()} }

// Pool returns the pool of key, made with the settings s when there is none (see Core.Pool).
func (s *Set) Pool(key Key, settings Settings) *Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Pool(key, settings)
}

// Step is Core.Step under the lock. The actions are the caller's to carry out, with the lock free again.
func (s *Set) Step(now int64, ev Event, out []Action) []Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Step(now, ev, out)
}

// Next is Core.Next under the lock.
func (s *Set) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Next()
}

// Stats is a snapshot of one pool.
type Stats struct {
	Key        Key
	Size       int // as configured
	Reserve    int // as configured
	Idle       int
	Leased     int
	Opening    int // logins under way
	Waiters    int
	OldestWait time.Duration // of the waiter that waits longest, at the time of the latest Step; 0 without waiters
	RetryIn    time.Duration // until the next login may be tried, at the time of the latest Step; 0 = now
	LastError  error         // why the latest login failed; nil when it succeeded or there was none
	Paused     bool
}

// Stats returns a snapshot of every pool, all of the same moment, in the order in which they were made.
func (s *Set) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.core
	all := make([]Stats, len(c.order))
	for i, p := range c.order {
		all[i] = Stats{
			Key: p.Key, Size: p.set.Size, Reserve: p.set.Reserve,
			Idle: p.conns.all.len, Leased: p.leased, Opening: p.opening, Waiters: p.waiting.len + p.parked.len,
			RetryIn:   time.Duration(max(0, p.retryAt-c.now)),
			LastError: p.lastErr,
			Paused:    p.paused,
		}
		for _, w := range []*Waiter{p.waiting.first(), p.parked.first()} {
			if w != nil {
				all[i].OldestWait = max(all[i].OldestWait, time.Duration(c.now-w.since))
			}
		}
	}
	return all
}

// Withdraw takes w out of the queue. It returns false when w is not queued: a grant or a rejection is on its way to it,
// which its session has to expect and, for a grant, to answer with Released.
func (s *Set) Withdraw(w *Waiter) (queued bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queued = w.pool != nil
	s.core.cancel(w)
	return queued
}

// PausedFor returns how much of w's waiting its pool was paused, until now, and whether it is.
func (s *Set) PausedFor(w *Waiter, now int64) (d time.Duration, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.pausedFor(now), w.pool != nil && w.pool.paused
}

// AtRest tells whether p is paused and has neither connections nor logins under way.
func (s *Set) AtRest(p *Pool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.paused && p.total() == 0
}

// Usage returns how many connections of p are on loan and how many it may have, or, when a cap keeps it from having more, how
// many all pools under that cap have and may have; down is why the latest login failed when p has no connection at all, nil
// otherwise.
func (s *Set) Usage(p *Pool) (leased, size int, down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.conns.all.len+p.leased == 0 {
		down = p.lastErr
	}
	if d := p.blockedOn; d != nil && p.total() < p.set.Size {
		return d.total - d.idle.len, d.limit, down
	}
	return p.leased, p.set.Size, down
}

// Share returns how many connections w's identity has on loan and how many it may have, when that is what w waits for.
func (s *Set) Share(w *Waiter) (leased, most int, bound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.parked {
		return 0, 0, false
	}
	return w.who.leases, w.pool.set.PerIdentity, true
}

// All returns every pool, in the order in which they were made.
func (s *Set) All() []*Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.core.order)
}
