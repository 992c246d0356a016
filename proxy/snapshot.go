package proxy

import (
	"sync/atomic"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/startup"
)

// snapshot is everything that follows from one configuration. It is immutable, but for what is learned about passwords.
type snapshot struct {
	cfg         *config.Config
	credentials *auth.Credentials
	policy      *auth.Policy
	acceptor    *startup.Acceptor
	password    map[*config.Tier]*atomic.Int32 // which of the tier's passwords the server accepted last
}

func (s *Server) newSnapshot(cfg *config.Config, previous *auth.Credentials) (*snapshot, error) {
	credentials, err := auth.NewCredentials(cfg, previous)
	if err != nil {
		return nil, err
	}
	for _, w := range credentials.Warnings() {
		s.log.Warn(w)
	}
	tlsConfig, err := startup.LoadTLS(cfg.Listen)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{cfg: cfg, credentials: credentials, policy: auth.NewPolicy(cfg), password: make(map[*config.Tier]*atomic.Int32)}
	for _, db := range cfg.Databases {
		for _, tier := range db.Tiers {
			snap.password[tier] = new(atomic.Int32)
		}
	}
	snap.acceptor = startup.New(startup.Config{
		TLS: tlsConfig, RequireTLS: cfg.Listen.RequireTLS, MaxPacket: cfg.Limits.StartupPacket,
		Credentials: credentials, Policy: snap.policy, Console: snap.policy.Console, Throttle: s.throttle, Log: s.log, Refuse: s.refusing,
	})
	return snap, nil
}

var errShuttingDown = pgerr.Fatal(pgerr.CannotConnectNow, "the database system is shutting down")

// refusing returns what clients are told that connect while the server stops.
func (s *Server) refusing() *pgerr.Error {
	if s.draining.Load() {
		return errShuttingDown
	}
	return nil
}

// poolKey names the pool of a tier, role and identity. Where people log in as themselves, each has a pool of their own, also
// when two of them have the same role: what one has proven is not for the other.
func poolKey(tier *config.Tier, role, identity string) pool.Key {
	key := pool.Key{Database: tier.Database.Name, Tier: tier.Name}
	switch {
	case tier.Isolation == "shared": // one pool for all of them
	case tier.LogsInAsRole():
		key.Role, key.Identity = role, identity
	default:
		key.Role = role
	}
	return key
}

// pool returns the pool of a tier, role and identity.
func (s *Server) pool(tier *config.Tier, role, identity string) *pool.Pool {
	return s.pauses.pool(poolKey(tier, role, identity), s.poolSettings(tier))
}

func (s *Server) poolSettings(tier *config.Tier) pool.Settings {
	limits := s.snapshot.Load().cfg.Limits
	serverName := ""
	if tier.Database.Server != nil {
		serverName = tier.Database.Server.Name
	}
	share := tier.Pool.PerIdentity
	if tier.LogsInAsRole() {
		share = 0 // the whole pool is one identity's
	}
	settings := pool.Settings{
		Size: tier.Pool.Size, Min: tier.Pool.Min, Reserve: tier.Pool.Reserve, ReserveAfter: tier.Pool.ReserveAfter,
		ServerIdle: tier.Timeouts.ServerIdle, ServerLifetime: tier.Timeouts.ServerLifetime,
		LoginRetry: tier.Timeouts.ServerLoginRetry,
		Server:     serverName, PerServer: limits.PerServer, PerDatabase: limits.PerDatabase, PerIdentity: share,
	}
	if tier.LogsInAsRole() {
		settings.Size, settings.PerTier = tier.Pool.PerIdentity, tier.Pool.Size
	}
	return settings
}

// warm makes the pools that keep connections open before anybody asks for one.
func (s *Server) warm(snap *snapshot) {
	for _, db := range snap.cfg.Databases {
		for _, tier := range db.Tiers {
			if tier.Pool.Min > 0 {
				s.pool(tier, tier.Role, "")
			}
		}
	}
}
