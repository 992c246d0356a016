package proxy

import (
	"maps"
	"sync"
	"time"

	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/session"
)

// stats is what sessions that have ended have done, by tier, since the start. Tiers that have gone from the configuration
// stay in it.
type stats struct {
	mu    sync.Mutex
	tiers map[tierName]console.Stat
}

func newStats() *stats { return &stats{tiers: make(map[tierName]console.Stat)} }

// ended adds a session. It is called on the session's loop.
func (s *stats) ended(sess *session.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addTo(s.tiers, nameOf(sess.Pool.Key), countsOf(&sess.Counts))
}

// all returns a copy.
func (s *stats) all() map[tierName]console.Stat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.tiers)
}

func addTo(tiers map[tierName]console.Stat, name tierName, c console.Counts) {
	t := tiers[name]
	t.Database, t.Tier = name.database, name.tier
	t.Sessions++
	t.Add(c)
	tiers[name] = t
}

func countsOf(c *session.Counts) console.Counts {
	return console.Counts{
		Leases: c.Transactions, Received: c.ClientBytes, Sent: c.ServerBytes, Waited: time.Duration(c.WaitedNanos),
	}
}
