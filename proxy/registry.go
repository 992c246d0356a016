package proxy

import (
	"crypto/subtle"
	"net/netip"
	"sync"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
)

// registry knows every session: by its cancel key, and counted by who has it. Its lock is held for map look-ups only and
// nothing else is locked under it.
type registry struct {
	mu         sync.Mutex
	places     map[uint32]*place
	identities map[string]int
	grants     map[grantUse]int
}

// grantUse is what a grant's limits.connections counts: the sessions of one identity by that grant.
type grantUse struct {
	identity string
	grant    *config.Grant
}

// place is one session's entry. Constant after enter, but for client.
type place struct {
	id       uint64
	pid      uint32
	secret   []byte
	decision *auth.Decision
	method   string
	addr     netip.AddrPort
	since    time.Time
	client   *relay.Client // nil until attach
}

func newRegistry() *registry {
	return &registry{places: make(map[uint32]*place), identities: make(map[string]int), grants: make(map[grantUse]int)}
}

// enter adds p and gives it a pid of its own, unless a limit is reached.
func (r *registry) enter(p *place, perIdentity int) *pgerr.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := p.decision
	use := grantUse{d.Identity, d.Grant}
	if perIdentity > 0 && r.identities[d.Identity] >= perIdentity {
		return tooManySessions(d.Identity, perIdentity, "limits.per_identity")
	}
	if n := d.Limits.Connections; n > 0 && r.grants[use] >= n {
		return tooManySessions(d.Identity, n, "limits.connections of the grant or tier")
	}
	for p.pid == 0 || r.places[p.pid] != nil {
		p.pid = newPID()
	}
	r.places[p.pid] = p
	r.identities[d.Identity]++
	r.grants[use]++
	return nil
}

// attach says which client the entry is for, once it has been handed over. The session may have ended before that.
func (r *registry) attach(pid uint32, c *relay.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.places[pid]; p != nil {
		p.client = c
	}
}

// leave removes the entry; nil when there is none.
func (r *registry) leave(pid uint32) *place {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[pid]
	if p == nil {
		return nil
	}
	delete(r.places, pid)
	if who := p.decision.Identity; r.identities[who] > 1 {
		r.identities[who]--
	} else {
		delete(r.identities, who)
	}
	use := grantUse{p.decision.Identity, p.decision.Grant}
	if r.grants[use] > 1 {
		r.grants[use]--
	} else {
		delete(r.grants, use)
	}
	return p
}

// find reports whether this is somebody's cancel key, and returns whose; nil before attach. The secrets are compared in
// constant time.
func (r *registry) find(pid uint32, secret []byte) (known bool, c *relay.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[pid]
	if p == nil || subtle.ConstantTimeCompare(p.secret, secret) != 1 {
		return false, nil
	}
	return true, p.client
}

// all returns a copy of every entry.
func (r *registry) all() []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]place, 0, len(r.places))
	for _, p := range r.places {
		list = append(list, *p)
	}
	return list
}
