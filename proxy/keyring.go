package proxy

import (
	"slices"
	"sync"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/startup"
)

// remember notes in a place what its client has proven, and wipes a key that is not needed: the configuration has the
// password itself.
func (s *Server) remember(snap *snapshot, p *place, c *startup.Client) {
	if c.ClientKey == nil {
		return
	}
	stored := c.ClientKey.Stored()
	p.proved = &stored
	if who := snap.cfg.Identities[p.decision.Identity]; len(who.Passwords) > 0 {
		c.ClientKey.Wipe()
		c.ClientKey = nil
		return
	}
	p.brought = &stored
}

// enterKey gives what the client has proven to its pool. A new password makes a refusal of the old one obsolete.
func (s *Server) enterKey(p *place, own *pool.Pool, c *startup.Client) {
	if !p.decision.Tier.LogsInAsRole() {
		return
	}
	fresh := s.keys.enter(own.Key, c.ClientKey)
	if _, _, down := s.pools.Usage(own); fresh && down != nil {
		s.relay.Tell(pool.Event{Kind: pool.Retire, Pool: own})
	}
}

// leaveKey takes it back when the session has ended.
func (s *Server) leaveKey(p *place) {
	if d := p.decision; d.Tier.LogsInAsRole() {
		s.keys.leave(poolKey(d.Tier, d.Role, d.Identity), p.brought)
	}
}

// keyring has the client keys that people have proven to have, for their own pools to log in to PostgreSQL with (isolation
// "login"). A key stays as long as a session that brought it, and is wiped with the last one. Safe for concurrent use.
type keyring struct {
	mu   sync.Mutex
	held map[pool.Key]*heldKeys
}

// heldKeys is what one pool may log in with.
type heldKeys struct {
	sessions int       // of the pool, those without a key among them
	keys     []heldKey // the latest one first
}

type heldKey struct {
	key      *scram.ClientKey
	sessions int // that brought it
}

func newKeyring() *keyring { return &keyring{held: make(map[pool.Key]*heldKeys)} }

// enter counts a session of the pool and takes over the key that it brings, nil when it brings none. It reports whether the
// pool has not had this key.
func (r *keyring) enter(of pool.Key, key *scram.ClientKey) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[of]
	if h == nil {
		h = &heldKeys{}
		r.held[of] = h
	}
	h.sessions++
	if key == nil {
		return false
	}
	if i := h.find(key.Stored()); i >= 0 {
		h.keys[i].sessions++
		key.Wipe()
		return false
	}
	h.keys = slices.Insert(h.keys, 0, heldKey{key: key, sessions: 1})
	return true
}

// leave ends a session's count. brought recognises the key that it has entered with; nil when there was none.
func (r *keyring) leave(of pool.Key, brought *scram.StoredKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[of]
	if brought != nil {
		i := h.find(*brought)
		if h.keys[i].sessions--; h.keys[i].sessions == 0 {
			h.keys[i].key.Wipe()
			h.keys = slices.Delete(h.keys, i, i+1)
		}
	}
	if h.sessions--; h.sessions == 0 {
		delete(r.held, of)
	}
}

// copies returns a copy of each key of the pool, the latest one first, which the caller wipes, and how many sessions it has.
func (r *keyring) copies(of pool.Key) (keys []*scram.ClientKey, sessions int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[of]
	if h == nil {
		return nil, 0
	}
	for _, k := range h.keys {
		c := *k.key
		keys = append(keys, &c)
	}
	return keys, h.sessions
}

func (h *heldKeys) find(stored scram.StoredKey) int {
	return slices.IndexFunc(h.keys, func(k heldKey) bool { return k.key.Stored() == stored })
}
