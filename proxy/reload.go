package proxy

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

// Reload puts a new configuration in force, whole or not at all. Logins under way finish by the old one. Pools take their new
// sizes; those whose way to log in has changed replace their server connections as these come back. Sessions whose access
// has ended are ended with 57P01, in a transaction too. What needs a restart (listen, relay) stays as it is and is said in the
// log each time. One at a time: others wait.
func (s *Server) Reload(cfg *config.Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	return s.reload(cfg)
}

// SetSource says how ReloadSource reads the configuration again. It is called before Serve.
func (s *Server) SetSource(source func() (*config.Config, error)) { s.source = source }

// ReloadSource reads the configuration again and puts it in force, as Reload does. A file with mistakes changes nothing: a
// configuration that cannot be used must never widen access. The error, which is in the log too, is then a config.Findings.
func (s *Server) ReloadSource() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.source == nil {
		return errNoSource
	}
	cfg, err := s.source()
	if err == nil {
		err = s.reload(cfg)
	}
	if err != nil {
		s.log.Error("reload refused, the old configuration stays in force", zap.Error(err))
	}
	return err
}

var errNoSource = pgerr.New(pgerr.FeatureNotSupported, "this pgtier has no configuration file that could be read again")

func (s *Server) reload(cfg *config.Config) error {
	old := s.snapshot.Load()
	changes := config.Diff(old.cfg, cfg)
	next := *cfg
	next.Listen, next.Relay = old.cfg.Listen, old.cfg.Relay
	snap, err := s.newSnapshot(&next, old.credentials)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	s.snapshot.Store(snap)
	for _, c := range changes {
		s.log.Info("configuration changed", zap.String("change", c.String()))
	}
	s.profiles.Forget(nil)
	s.roles.Forget()
	s.reloadPools(old, snap)
	ended := s.endAccess(snap)
	s.warm(snap)
	s.log.Info("reloaded", zap.Int("changes", len(changes)), zap.Int("sessions_ended", ended))
	return nil
}

// reloadPools gives each pool its new settings, and replaces the connections of those that log in otherwise now.
func (s *Server) reloadPools(old, snap *snapshot) {
	for _, p := range s.pools.All() {
		was, is := old.tier(p.Key), snap.tier(p.Key)
		if is != nil {
			s.relay.Tell(pool.Event{Kind: pool.Resize, Pool: p, Settings: s.poolSettings(is)})
		}
		if is == nil || was == nil || !sameLogin(old, snap, p.Key) {
			s.relay.Tell(pool.Event{Kind: pool.Retire, Pool: p})
		}
	}
}

// sameLogin reports whether server connections of a pool by both configurations are interchangeable.
func sameLogin(old, snap *snapshot, key pool.Key) bool {
	x, err := old.target(key)
	y, err2 := snap.target(key)
	x.ConnectTimeout, y.ConnectTimeout = 0, 0
	if err != nil || err2 != nil || !reflect.DeepEqual(x, y) {
		return false
	}
	// What a person has proven by an old verifier has opened connections that the new one may not open.
	return key.Identity == "" || slices.Equal(old.cfg.Identities[key.Identity].Verifiers, snap.cfg.Identities[key.Identity].Verifiers)
}

// endAccess ends the sessions that would not get what they have by the new configuration. It returns how many.
func (s *Server) endAccess(snap *snapshot) (n int) {
	for _, p := range s.registry.all() {
		if s.endIfLost(snap, p) {
			n++
		}
	}
	return n
}

// endIfLost ends one session if it has lost what it has.
func (s *Server) endIfLost(snap *snapshot, p place) bool {
	why := s.lost(snap, p)
	if why == "" {
		return false
	}
	what := "the console"
	if t := p.decision.Tier; t != nil {
		what = fmt.Sprintf("tier %q on %q", t.Name, t.Database.Name)
	}
	s.endSession(p.pid, session.ReasonExpired, pgerr.Fatal(pgerr.AdminShutdown, "terminating connection: access to %s ended (%s)", what, why))
	return true
}

// lost says why a session has lost what it has; "" when it has not.
func (s *Server) lost(snap *snapshot, p place) string {
	d := p.decision
	if !snap.credentials.Known(d.Identity) {
		return "identity removed or disabled"
	}
	from := p.addr.Addr()
	if p.right != auth.NoConsole {
		if snap.policy.Console(d.Identity, consoleName, from) < p.right {
			return "configuration reloaded"
		}
		return ""
	}
	now, refused := snap.policy.Resolve(d.Identity, d.Tier.Database.Name, d.Tier.Name, from, time.Now())
	switch {
	case refused != nil:
		return "configuration reloaded"
	case now.Role != d.Role || now.Tier.Isolation != d.Tier.Isolation || now.Tier.Guard != d.Tier.Guard:
		return "its role has changed"
	case p.proved != nil && !snap.credentials.Fits(d.Identity, *p.proved):
		return "its password has changed"
	}
	return ""
}
