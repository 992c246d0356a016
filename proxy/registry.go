package proxy

import (
	"crypto/subtle"
	"maps"
	"net/netip"
	"sync"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
	"github.com/pgtier/pgtier/proxy/session"
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

// place is one session's entry. Constant after enter, but for the last three. There is one for each client: its size counts.
type place struct {
	id       uint64
	pid      uint32
	tls      uint16            // version, as crypto/tls has it; 0 without
	right    auth.ConsoleRight // NoConsole: it is a session on a database
	secret   []byte
	decision *auth.Decision // of a console session only Identity is set
	method   string
	addr     netip.AddrPort
	since    int64            // Unix nanoseconds
	proved   *scram.StoredKey // recognises the client key that it logged in with, where people log in to PostgreSQL too; or nil
	brought  *scram.StoredKey // the same, when the keyring has the key

	client  *relay.Client    // nil until attach, and for a console session
	console *console.Session // nil until attach, and for any other session
	doom    *doom            // the session was ended before it was attached
}

// doom is why a session is ended from outside.
type doom struct {
	reason session.Reason
	err    *pgerr.Error
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

// attach says which client the entry is for, once it has been handed over. The session may have ended before that; or it was
// to end, and the caller has to see to it.
func (r *registry) attach(pid uint32, c *relay.Client, s *console.Session) *doom {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[pid]
	if p == nil {
		return nil
	}
	p.client, p.console = c, s
	return p.doom
}

// condemn returns the session that is to be ended for d. When it has not been attached yet, attach returns d.
func (r *registry) condemn(pid uint32, d *doom) (c *relay.Client, s *console.Session, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[pid]
	if p == nil {
		return nil, nil, false
	}
	if p.client == nil && p.console == nil {
		p.doom = d
	}
	return p.client, p.console, true
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

// find reports whether this is somebody's cancel key, and returns whose: a client or a console session, nothing before attach.
// The secrets are compared in constant time.
func (r *registry) find(pid uint32, secret []byte) (known bool, c *relay.Client, s *console.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[pid]
	if p == nil || subtle.ConstantTimeCompare(p.secret, secret) != 1 {
		return false, nil, nil
	}
	return true, p.client, p.console
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

// usage is how many sessions there are, by what they use.
type usage struct {
	pools      map[pool.Key]int
	identities map[string]int
}

func (r *registry) usage() usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := usage{pools: make(map[pool.Key]int), identities: maps.Clone(r.identities)}
	for _, p := range r.places {
		if p.right == auth.NoConsole {
			u.pools[poolKey(p.decision.Tier, p.decision.Role, p.decision.Identity)]++
		}
	}
	return u
}
