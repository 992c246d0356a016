package console

import (
	"context"
	"net/netip"
	"time"
)

// Daemon is what the console shows and acts on. Its methods may be called from several goroutines. An error that is a
// *pgerr.Error reaches the client as it is. What waits for others returns when ctx ends, with ctx's cause.
type Daemon interface {
	Clients(ctx context.Context) ([]Client, error)
	Servers(ctx context.Context) ([]Server, error)
	Pools() []Pool
	Databases() []Database
	Identities() []Identity
	Stats(ctx context.Context) ([]Stat, error)
	Config() []Setting
	Version() string

	// Pause lets nothing of the target be lent any more, and returns when nothing of it is in use. When ctx ends before
	// that, what this call has paused is resumed.
	Pause(ctx context.Context, t Target) error
	Resume(t Target) error
	// Kill ends the session that Clients shows with this id.
	Kill(id uint64) error
	// KillIdentity ends every session of an identity and returns how many there were.
	KillIdentity(name string) (int, error)
	// Reload reads the configuration again and puts it in force, or says why not.
	Reload() error
	// Reconnect replaces server connections as they come back.
	Reconnect(t Target) error
	// Shutdown begins to stop the daemon: transactions finish when drain is set, and are cut otherwise.
	Shutdown(drain bool)
}

// Client is one client that has logged in. Those of the console have no Tier.
type Client struct {
	ID          uint64
	Identity    string
	Method      string // of authentication
	Database    string
	Tier, Role  string
	State       string // "login", "idle", "waiting", "active", "console"
	Transaction string // of its server: "idle", "open", "failed"; "" without a server
	PinReason   string // why it keeps its server between transactions; "" when it does not
	Addr        netip.AddrPort
	Since       time.Time
	Wait        time.Duration
	ServerPID   uint32 // 0 without a server
	TLS         string // version; "" without
	AppName     string
	Counts
}

// Counts are what sessions have done.
type Counts struct {
	Leases   uint64 // of a server that have ended: transactions, in transaction mode
	Received uint64 // bytes from clients
	Sent     uint64 // bytes from servers
	Waited   time.Duration
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Leases += o.Leases
	c.Received += o.Received
	c.Sent += o.Sent
	c.Waited += o.Waited
}

// Server is one server connection that has logged in.
type Server struct {
	Login, Database, Tier, Role string
	State                       string // "active": on lease; "idle"; "used": it is being made clean
	Addr                        string // host:port
	Since                       time.Time
	Client                      uint64 // that has it on lease; 0 = none
	PID                         uint32 // of the server's process
	TLS                         bool
	Identity                    string // whose session state it carries; "" = clean
	PinReason                   string
}

// Pool is one pool of server connections.
type Pool struct {
	Database, Tier, Role, Login string
	Mode                        string
	Clients, Waiting            int // sessions; of them, those that wait for a server
	Active, Idle, LoggingIn     int // server connections
	MaxWait                     time.Duration
	Size, Reserve               int
	Paused                      bool
	LastError                   string // why the latest login failed, as clients are told; "" when it did not
}

// Database is one tier of a database, as configured.
type Database struct {
	Name, Tier        string
	Host              string // several separated by commas
	Port              uint16
	DBName            string
	Login             string
	Credential        string // where it comes from: "login", "url", "override_env NAME"
	Role              string // as written, placeholders and all
	Isolation         string
	Guard             bool
	Mode              string
	Size, Min         int
	Reserve           int
	MaxConnections    int // per_database; 0 = no limit
	Servers, Sessions int
	Paused            bool
}

// Identity is who may log in.
type Identity struct {
	Name     string
	Groups   []string
	Methods  []string // what it can prove itself with
	Disabled bool
	Sessions int
	Console  string // "admin", "observer", or ""
}

// Stat is what a tier of a database has done since the start.
type Stat struct {
	Database, Tier string
	Sessions       uint64 // that have ended or live
	Counts
}

// Setting is one value of the configuration. Secrets are not in it.
type Setting struct{ Key, Value, Effect string }
