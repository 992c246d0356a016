package session

import (
	"sync"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Profile is what PostgreSQL reports to a client that starts with certain settings in a certain pool: learned from a real
// server the first time, given to every later client that starts alike without asking a server again.
type Profile struct {
	Settings Settings // the client's settings, in the form in which the server reports them
	Reported []byte   // the ParameterStatus frames of a welcome, without application_name's
	AppName  string   // application_name of a client that does not say one
}

// Profiles remembers profiles. Safe for concurrent use; the lock is held for a map look-up.
type Profiles struct {
	mu      sync.Mutex
	byID    map[profileKey]*Profile
	changes map[Settings]*change // that a clean server takes; see prefix.go
}

type profileKey struct {
	pool     *pool.Pool
	settings Settings
}

// maxProfiles bounds the memory that clients with ever new settings can claim. Someone whose clients all differ would like
// it bigger; past it a profile costs one checkout at login, no more.
const maxProfiles = 4096

// NewProfiles returns an empty memory.
func NewProfiles() *Profiles {
	return &Profiles{byID: make(map[profileKey]*Profile), changes: make(map[Settings]*change)}
}

// Forget drops what is known of a pool, or of every pool when p is nil: its server may be another one now.
func (p *Profiles) Forget(of *pool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.byID {
		if of == nil || k.pool == of {
			delete(p.byID, k)
		}
	}
}

func (p *Profiles) find(of *pool.Pool, s Settings) *Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[profileKey{of, s}]
}

func (p *Profiles) store(of *pool.Pool, s Settings, profile *Profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byID) >= maxProfiles {
		clear(p.byID)
	}
	p.byID[profileKey{of, s}] = profile
}

// plainName is the one parameter that differs from client to client without the server having a say in it: it is kept out
// of the profile's key, so that clients which put a pid into it do not each ask a server.
const plainName = "application_name"

// splitName takes application_name out of s when the server would report it back unchanged: printable ASCII of at most 63
// bytes (src/backend/commands/variable.c, check_application_name).
func splitName(s Settings) (rest Settings, name string, ok bool) {
	name, has := s.Map()[plainName]
	if !has {
		return s, "", false
	}
	if len(name) > 63 {
		return s, "", false
	}
	for i := 0; i < len(name); i++ {
		if name[i] < 32 || name[i] > 126 {
			return s, "", false
		}
	}
	return s.Without(plainName), name, true
}

// learn makes the profile of a session whose settings have just been applied to v.
func learn(v *Server, wanted Settings) *Profile {
	settings := wanted.Map()
	p := &Profile{AppName: v.appName}
	for _, r := range v.reported {
		if _, asked := settings[lower(r.Name)]; asked && quotable(r.Value) {
			settings[lower(r.Name)] = r.Value
		}
		if lower(r.Name) == plainName {
			if _, asked := settings[plainName]; asked {
				p.AppName = r.Value
			}
			continue
		}
		p.Reported = wire.AppendParameterStatus(p.Reported, r.Name, r.Value)
	}
	p.Settings = fromMap(settings)
	return p
}
