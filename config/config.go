// Package config turns one TOML file into an immutable, fully checked *Config.
package config

import (
	"net/netip"
	"time"
)

// Pos is a place in the configuration file. Line 0 means "not in the file" (a default).
type Pos struct {
	File string
	Line int // from 1
	Col  int // from 1, in bytes
}

// Config is one loaded file. It is immutable after Load: everything may be read from any goroutine without a lock.
type Config struct {
	File       string
	Listen     Listen
	Servers    map[string]*Server
	Databases  map[string]*Database
	Identities map[string]*Identity
	Groups     map[string]*Group
	Grants     []*Grant
	Denies     []*Deny
	Timeouts   Timeouts
	Limits     Limits
	Relay      Relay
	Log        Log
	Console    *Console // nil: there is none

	keys *node // where each key stands, for Diff; nil when the Config was not read from a text
}

// Listen says where clients connect.
type Listen struct {
	Pos           Pos
	Address       []string // host:port
	UnixSocketDir string   // empty: none; the socket is .s.PGSQL.<port of the first address> in it
	TLSCert       string   // file; empty: no TLS
	TLSKey        string
	TLSClientCA   string // file; empty: client certificates are not asked for
	RequireTLS    bool   // default true; loopback and Unix sockets are excepted
}

// Server is one PostgreSQL server: where it is and how to reach it.
type Server struct {
	Name        string
	Pos         Pos
	Hosts       []string // each "host", "host:port" or a socket directory; tried in order
	Port        uint16   // default 5432; for hosts without one
	SSLMode     string   // libpq's words; default "prefer"
	SSLRootCert string   // file; "" or "system"
}

// Database is one name that clients connect to, case-sensitive.
type Database struct {
	Name        string
	Pos         Pos
	Server      *Server
	DBName      string            // the name on the server; Name when the file has none
	DefaultTier string            // "" when the file has none
	Vars        map[string]string // what the placeholders of these names in roles stand for
	Tiers       map[string]*Tier
}

// Tier is one backend credential of a database and its limits.
type Tier struct {
	Name     string // "ro", "rw" or "admin"
	Database *Database
	Pos      Pos

	Login     string
	Passwords []string // as resolved at load; several while rotating; none with SSLCert or trust
	SSLCert   string   // files; client certificate towards the server
	SSLKey    string
	// With isolation "login" there is none of these: CertTemplate and KeyTemplate are the files of each session's own
	// certificate, nil when identities log in by password.
	CertTemplate *PathTemplate
	KeyTemplate  *PathTemplate
	// Host, port, dbname and sslmode as they are in force: from Server and Database, or whole from url / override_env.
	Hosts       []string
	Port        uint16
	DBName      string
	SSLMode     string
	SSLRootCert string
	Source      string // where the credential comes from, for explain: `login`, `url`, `override_env EPMT_DB_URL`

	OverrideEnv     string // the variable's name; "" when none is configured
	Overridden      bool   // the variable is set and not empty: it replaced the credential, whole
	AcceptSuperuser bool
	SessionState    string            // what becomes of session state that cannot be moved: "pin" (the default), "reject" or "ignore"
	MaxPrepared     int               // shared prepared statements kept on each server connection; default 200, at least 1
	Isolation       string            // what sessions of different roles share: "role" (the default), "shared" or "login"
	Guard           bool              // refuse statements that could change the role
	ApplicationName string            // application_name on servers: "label" (the default: identity/tier: the client's own) or "client" (its own only)
	IdentitySetting bool              // sessions have pgtier.identity and pgtier.tier on the server: a label, not a boundary
	Role            string            // the role of every session; "" = the login itself, or what RoleTemplate comes to for each
	RoleTemplate    *RoleTemplate     // what the file says about the role; nil = nothing: the login itself
	Settings        map[string]string // sent in the startup packet of server connections
	Pool            Pool
	Timeouts        Timeouts // merged: strictest of the global and the tier's own
	Limits          GrantLimits

	own Timeouts // those that the tier itself sets, for Diff
}

// Pool sizes are server connections. Mode is "session" or "transaction".
type Pool struct {
	Mode         string
	Reuse        bool          // session mode: when a client leaves, the next one gets its connection; false = it is closed
	Size         int           // default 20
	PerIdentity  int           // connections that one identity may have at once; 0 = all of the pool. With isolation "login" default 2, where Size is of the whole tier
	Min          int           // kept open; default 0
	Reserve      int           // opened above Size after a client waited ReserveAfter; default 0
	ReserveAfter time.Duration // default 5s
}

// Identity is who a client may authenticate as.
type Identity struct {
	Name       string
	Pos        Pos
	Verifiers  []string // SCRAM verifiers, as in pg_authid
	Passwords  []string // as resolved at load; several while rotating
	Certs      []string // "CN=x", "DNS:x", "URI:x", "email:x"
	Peer       string   // OS user on a Unix socket
	Attributes map[string][]string
	Disabled   bool
}

// Group is a named set of identities.
type Group struct {
	Name    string
	Pos     Pos
	Members []string
}

// Grant gives To the Tiers on Database. Grants have no order.
type Grant struct {
	Pos      Pos
	To       string // identity, "@group" or "*"
	Database string // name or "*"
	Tiers    []string
	Default  string              // "" when none
	Role     string              // what {role} in the tier's role stands for; "" when none
	From     []netip.Prefix      // empty: from anywhere (Unix sockets count as loopback)
	When     map[string][]string // identity attributes, all of which must hold
	Expires  time.Time           // zero: never
	Limits   GrantLimits
	Timeouts Timeouts
}

// Deny always wins over grants.
type Deny struct {
	Pos      Pos
	To       string
	Database string   // "" or "*": every database
	Tiers    []string // empty: every tier
	From     []netip.Prefix
	When     map[string][]string
}

// GrantLimits are of the sessions that a grant allows. 0 = no limit.
type GrantLimits struct {
	Session     time.Duration // the longest a session may live
	Connections int           // sessions of one identity at once
}

// Timeouts, 0 = off. In a tier or a grant, 0 also means "not set there": the strictest of those that are set wins.
type Timeouts struct {
	Login            time.Duration // 60s
	QueryWait        time.Duration // 120s
	QueryWaitNotify  time.Duration // 5s; a client that waits this long for a server is told so, once
	ClientIdle       time.Duration
	IdleTransaction  time.Duration
	Query            time.Duration
	Transaction      time.Duration
	ServerConnect    time.Duration // 15s
	ServerLoginRetry time.Duration // 15s
	ServerIdle       time.Duration // 10m
	ServerLifetime   time.Duration // 1h
	CancelWait       time.Duration // 10s
	Shutdown         time.Duration
}

// Limits, 0 = no limit except where a default is given.
type Limits struct {
	Connections   int // clients; default 100000
	PerIdentity   int // clients of one identity
	PerDatabase   int // server connections over all pools of a database
	PerServer     int // server connections over all pools of a server
	StartupPacket int // bytes; default 10 KiB
}

// Relay chooses the event loops. Loops 0 = auto. Engine is "auto", "epoll" or "io_uring".
type Relay struct {
	Loops  int
	Engine string
}

// Log is how the daemon logs. Level: debug, info, warn, error. Format: json, console.
type Log struct {
	Level  string
	Format string
}

// Console says who may use the console: the database "pgtier" (or "pgbouncer") that is pgtier itself. Each entry is an
// identity or "@group". Who is in both lists is an administrator.
type Console struct {
	Pos       Pos
	Admins    []string // may use every command
	Observers []string // may only look
}
