package config

import "time"

// ConfigVersion is the only value of config_version that this program reads.
const ConfigVersion = 1

// Defaults, all of them.
const (
	defaultServerPort   = 5432
	defaultSSLMode      = "prefer"
	defaultPoolSize     = 20
	defaultReserveAfter = 5 * time.Second
	defaultPerIdentity  = 2
	defaultOwnIdle      = time.Minute // server_idle of tiers with isolation = "login": an identity that is away holds no place
	defaultIsolation    = "role"
	defaultState        = "pin"
	defaultAppName      = "label"
	defaultMaxPrepared  = 200
	defaultCommandWait  = 3 * time.Second
	defaultLogLevel     = "info"
	defaultLogFormat    = "json"
	defaultEngine       = "auto"
)

// poolModeFor returns the pool mode of a tier that does not say: migrations need sessions, everything else is shared.
func poolModeFor(tier string) string {
	if tier == "admin" {
		return "session"
	}
	return "transaction"
}

// DefaultTimeouts are in force where [timeouts] says nothing.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Login:            60 * time.Second,
		QueryWait:        120 * time.Second,
		QueryWaitNotify:  5 * time.Second,
		ServerConnect:    15 * time.Second,
		ServerLoginRetry: 15 * time.Second,
		ServerIdle:       10 * time.Minute,
		ServerLifetime:   time.Hour,
		CancelWait:       10 * time.Second,
	}
}

// DefaultLimits are in force where [limits] says nothing.
func DefaultLimits() Limits {
	return Limits{Connections: 100_000, StartupPacket: 10 << 10}
}
