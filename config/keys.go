package config

// kind names a sort of table; "*" in it stands for a name that the operator chose.
type kind string

const (
	kindTop           kind = ""
	kindListen        kind = "listen"
	kindServer        kind = "servers.*"
	kindDatabase      kind = "databases.*"
	kindTier          kind = "databases.*.tiers.*"
	kindPool          kind = "databases.*.tiers.*.pool"
	kindTierTimeouts  kind = "databases.*.tiers.*.timeouts"
	kindTierLimits    kind = "databases.*.tiers.*.limits"
	kindIdentity      kind = "identities.*"
	kindGrant         kind = "grants"
	kindGrantTimeouts kind = "grants.timeouts"
	kindGrantLimits   kind = "grants.limits"
	kindDeny          kind = "denies"
	kindTimeouts      kind = "timeouts"
	kindLimits        kind = "limits"
	kindRelay         kind = "relay"
	kindLog           kind = "log"
	kindConsole       kind = "console"
	kindSecret        kind = "secret"
	// kindNames is a table whose keys are all names that the operator chose.
	kindNames kind = "*"
)

// keys has every key of every kind of table: what is not here is an unknown key. docs/configuration.md has them all too,
// which a test checks.
var keys = map[kind][]string{
	kindTop: {"config_version", "inline_secrets", "listen", "servers", "databases", "identities", "groups", "grants", "denies",
		"timeouts", "limits", "relay", "log", "console"},
	kindListen:   {"address", "unix_socket_dir", "tls_cert", "tls_key", "tls_client_ca", "require_tls"},
	kindServer:   {"host", "port", "sslmode", "sslrootcert"},
	kindDatabase: {"server", "dbname", "default_tier", "vars", "tiers"},
	kindTier: {"login", "password", "url", "override_env", "sslcert", "sslkey", "role", "isolation", "guard",
		"session_state", "max_prepared_statements", "application_name", "identity_setting", "accept_superuser", "settings", "pool",
		"timeouts", "limits"},
	kindPool: {"mode", "reuse", "size", "per_identity", "min", "reserve", "reserve_after"},
	kindTierTimeouts: {"query_wait", "query_wait_notify", "client_idle", "idle_transaction", "query", "transaction", "server_connect",
		"server_login_retry", "server_idle", "server_lifetime", "cancel_wait"},
	kindTierLimits:    {"session", "connections"},
	kindIdentity:      {"scram", "password", "cert", "peer", "attributes", "disabled"},
	kindGrant:         {"to", "database", "tiers", "default", "role", "from", "when", "expires", "limits", "timeouts"},
	kindGrantTimeouts: {"query_wait", "query_wait_notify", "client_idle", "idle_transaction", "query", "transaction"},
	kindGrantLimits:   {"session", "connections"},
	kindDeny:          {"to", "database", "tiers", "from", "when"},
	kindTimeouts: {"login", "query_wait", "query_wait_notify", "client_idle", "idle_transaction", "query", "transaction", "server_connect",
		"server_login_retry", "server_idle", "server_lifetime", "cancel_wait", "shutdown"},
	kindLimits:  {"connections", "per_identity", "per_database", "per_server", "startup_packet"},
	kindRelay:   {"loops", "engine"},
	kindLog:     {"level", "format"},
	kindConsole: {"admins", "observers"},
	kindSecret:  {"env", "file", "command", "timeout"},
}

// later is one thing that the design has and this version has not: to accept it silently would promise what is not kept.
// With a value, only that value of the key is meant.
type later struct {
	kind  kind
	key   string
	value any
}

// notYet is the whole list. Whoever builds a feature deletes its row (and, for a new key, adds it to keys).
var notYet = []later{
	{kindTop, "audit", nil},
	{kindTop, "http", nil},
	{kindTop, "revocation", nil},
	{kindTop, "peers", nil},
}

// missing returns the row of notYet for a key, nil when the key is supported or unknown.
func missing(k kind, key string, value any) *later {
	for i, l := range notYet {
		if l.kind == k && l.key == key && (l.value == nil || l.value == value) {
			return &notYet[i]
		}
	}
	return nil
}
