package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Throttle slows down whoever guesses passwords. It is asked when a client has sent its proof and before the proof is
// checked: guesses that arrive at the same moment are seen one after the other, a client that only connects costs nobody
// anything, and what is refused unchecked looks like a wrong password.
//
// Failures are counted in three places, each with a few free ones and a pause that doubles with each further one:
// (name, address), address, and, mildest, name. A name that is known to belong to an address (it has logged in from there
// lately) answers only for its own failures there: a flood of guesses from elsewhere, or from a neighbour behind the same
// gateway, does not keep it out. Guesses from everywhere at one name delay its owner's first login from a new address by a
// second, and do not refuse it. Failures are forgotten with time.
//
// It has no clock and no timers: the caller passes the time and waits. Memory is bounded: a few thousand counters of each
// kind, of which the least recently used one makes room. The zero value is not usable. All methods are safe for concurrent use.
type Throttle struct {
	seed maphash.Seed

	mu        sync.Mutex
	pairs     counters // by name and address
	addresses counters
	names     counters
	trusted   counters // names and addresses that have succeeded; counts nothing
	waiting   int
}

const (
	counterEntries = 8192
	maxPause       = 5 * time.Second // whoever would have to wait longer is refused
	maxWaiting     = 1024            // attempts that wait at the same time, a goroutine each
	trustFor       = 24 * time.Hour
)

// NewThrottle returns a Throttle that has seen nothing.
func NewThrottle() *Throttle {
	return &Throttle{
		seed:      maphash.MakeSeed(),
		pairs:     newCounters(rule{free: 5, first: 100 * time.Millisecond, longest: maxPause, forget: 10 * time.Second, queue: true}),
		addresses: newCounters(rule{free: 20, first: 100 * time.Millisecond, longest: 2 * time.Second, forget: 5 * time.Second, queue: true}),
		names:     newCounters(rule{free: 50, first: 100 * time.Millisecond, longest: time.Second, forget: 2 * time.Second}),
		trusted:   newCounters(rule{}),
	}
}

// Attempt is one proof that was admitted. Exactly one of its methods must be called, once.
type Attempt struct {
	t                   *Throttle
	pair, address, name uint64
	trusted, waiting    bool
}

// Admit asks whether a proof may be checked. When ok, the caller waits for the returned time (usually 0), checks, and says how it
// went. When not, it must answer as to a wrong password, without looking at the proof. from is invalid on a Unix socket.
func (t *Throttle) Admit(now time.Time, name string, from netip.Addr) (a Attempt, wait time.Duration, ok bool) {
	from = network(from)
	a = Attempt{
		t:       t,
		pair:    maphash.Comparable(t.seed, pairKey{name, from}),
		address: maphash.Comparable(t.seed, from),
		name:    maphash.Comparable(t.seed, name),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.trusted.get(a.pair); c != nil && now.Sub(c.updated) < trustFor {
		a.trusted = true
	}
	for _, place := range a.places() {
		wait = max(wait, place.counters.wait(now, place.key))
	}
	if wait > maxPause || wait > 0 && t.waiting >= maxWaiting {
		return Attempt{}, 0, false
	}
	for _, place := range a.places() {
		place.counters.reserve(now.Add(wait), place.key)
	}
	if wait > 0 {
		a.waiting = true
		t.waiting++
	}
	return a, wait, true
}

// Failed says that the proof was wrong.
func (a Attempt) Failed(now time.Time) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.leave()
	for _, place := range a.places() {
		place.counters.fail(now, place.key)
	}
}

// Succeeded says that the proof was right.
func (a Attempt) Succeeded(now time.Time) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.leave()
	for _, place := range a.places() {
		place.counters.release(now, place.key)
	}
	a.t.pairs.remove(a.pair)
	a.t.trusted.touch(now, a.pair)
}

// Abandoned says that the proof was not checked: the client left while it waited.
func (a Attempt) Abandoned() {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.leave()
}

func (a Attempt) leave() {
	if a.waiting {
		a.t.waiting--
	}
}

// place is one counter that an attempt answers for.
type place struct {
	counters *counters
	key      uint64
}

// places is where the attempt's failure counts.
func (a *Attempt) places() []place {
	all := [...]place{{&a.t.pairs, a.pair}, {&a.t.addresses, a.address}, {&a.t.names, a.name}}
	if a.trusted {
		return all[:1:1]
	}
	return all[:]
}

type pairKey struct {
	name string
	from netip.Addr
}

// network is what one attacker has of addresses: all of an IPv6 /64, one IPv4 address.
func network(from netip.Addr) netip.Addr {
	from = from.Unmap().WithZone("")
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return from
}
