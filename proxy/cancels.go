package proxy

import (
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

// wrongKeys limits the cancel requests whose key is nobody's, by where they come from. Guessing a key is hopeless anyway (with
// protocol 3.0 it has 62 random bits); the limit keeps a storm of such requests from costing look-ups and log lines. An address that
// is over it is not listened to, right keys included: an answer to the right one would tell it from the others.
//
// Requests with right keys cost nothing here: several for one query become one.
type wrongKeys struct {
	log *zap.Logger

	mu      sync.Mutex
	until   map[netip.Addr]time.Time // when all that was wrong is forgotten
	ignored int                      // requests since the latest log line
	told    time.Time                // when that was
	swept   time.Time                // when what is forgotten was removed
}

// An address may send cancelBurst wrong keys at once and one more each cancelRefill. Behind a load balancer a cancel request
// often reaches an instance that does not know its key: somebody with many instances and one address for all clients would
// like it bigger.
const (
	cancelBurst  = 1000
	cancelRefill = 10 * time.Millisecond
)

// maxCancelAddresses bounds the memory. Addresses past it share one account.
const maxCancelAddresses = 4096

// cancelLogPause is how far apart the log lines are.
const cancelLogPause = 10 * time.Second

func newWrongKeys(log *zap.Logger) *wrongKeys {
	return &wrongKeys{log: log, until: make(map[netip.Addr]time.Time)}
}

// allows reports whether a cancel request from addr is listened to; the zero address is every Unix socket.
func (w *wrongKeys) allows(now time.Time, addr netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until[w.account(now, addr)].Sub(now) < cancelBurst*cancelRefill {
		return true
	}
	w.ignored++
	if now.Sub(w.told) >= cancelLogPause {
		w.log.Warn("cancel requests ignored: too many wrong keys", zap.Stringer("client", addr), zap.Int("ignored", w.ignored))
		w.told, w.ignored = now, 0
	}
	return false
}

// wrong books a wrong key.
func (w *wrongKeys) wrong(now time.Time, addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addr = w.account(now, addr)
	from := w.until[addr]
	if from.Before(now) {
		from = now
	}
	w.until[addr] = from.Add(cancelRefill)
}

// account returns the address that addr is booked under: with IPv6 a network of 64 bits, which one customer has whole.
func (w *wrongKeys) account(now time.Time, addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	if _, known := w.until[addr]; known || len(w.until) < maxCancelAddresses {
		return addr
	}
	if now.Sub(w.swept) >= time.Second { // not for every stranger: it takes a while
		w.swept = now
		for a, until := range w.until {
			if !until.After(now) {
				delete(w.until, a)
			}
		}
	}
	if len(w.until) < maxCancelAddresses {
		return addr
	}
	return crowd
}

// crowd is the account of those for whom there is no room: an address that nobody can connect from.
var crowd = netip.IPv6Unspecified()
