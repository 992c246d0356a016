// Package harness puts a pgtier in front of a real PostgreSQL for tests, and looks at what is left when it has stopped.
//
// Start runs it inside the test's own process, so that the race detector sees it; Spawn runs the program itself, for what
// only a process has: signals, exit codes, memory. Both take the same Options and are asked for DSNs in the same way.
//
// Stopping an in-process pgtier, which happens at the end of the test at the latest, checks that it drained, that no
// goroutine and no socket is left, that no server connection is left, that no session had a bug, and that no password is
// in its log. So every test that uses the package is a test of those too.
package harness

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// Options say what differs from the usual: EPMT on the shared cluster, listening on 127.0.0.1 and a Unix socket without TLS,
// the identities of Identities, pools of 10 (ro), 5 (rw) and 2 (admin, session mode). What is given as lines is TOML.
type Options struct {
	Cluster *pgtest.Cluster // with EPMT: in front of what; nil: testpg.Shared
	EPMT    *pgtest.EPMT

	Address  string            // to listen on, without port; "": 127.0.0.1
	TLS      bool              // with a certificate of Endpoint.Authority for 127.0.0.1, localhost and Address
	ClientCA bool              // certificates of Endpoint.Authority are accepted from clients
	Listen   string            // more lines of [listen]
	Port     uint16            // of [servers.main], of something that stands before Cluster; 0: Cluster's
	Server   string            // the lines of [servers.main] after host and port; "": sslmode = "disable"
	Pools    map[string]string // tier -> the inside of pool = { ... }
	Tiers    map[string]string // tier -> more lines
	Grants   map[string]string // identity -> more lines of its grant
	More     string            // more sections
	Env      map[string]string // of the daemon

	Iterations int // of the identities' verifiers; 0: FewIterations
}

// Identity is who may log in, with what.
type Identity struct {
	Name    string
	Tiers   []string
	Default string
}

// FewIterations is what the identities' verifiers cost unless somebody asks for more. A login with PostgreSQL's 4096 takes
// tens of milliseconds of a client that runs under the race detector, and the tests log in some ten thousand times. Drivers
// that refuse fewer than RFC 7677 demands need scram.DefaultIterations.
const FewIterations = 64

// Password is what Identity logs in with.
func (i Identity) Password() string { return i.Name + "-demo" }

// Identities are those of every configuration. One more, "retired", is disabled.
var Identities = []Identity{
	{"alice", []string{"ro"}, "ro"},
	{"ingest", []string{"ro", "rw"}, "rw"},
	{"migrate", []string{"admin"}, "admin"},
	{"ops", []string{"ro", "rw", "admin"}, "ro"},
}

// Endpoint is where a running pgtier is.
type Endpoint struct {
	Host      string
	Port      uint16
	SocketDir string // of the Unix socket
	Cluster   *pgtest.Cluster
	EPMT      *pgtest.EPMT
	Authority *pgtest.Authority // that signed the listener's certificate; nil without TLS
	CAFile    string            // its certificate; "" without TLS

	tls bool
}

// DSN returns a URL for user, which is "name" or "name~tier", with the identity's password. params are "name=value", not
// yet escaped; of a name that occurs twice the later value holds. Without TLS or another wish sslmode is disable.
func (e *Endpoint) DSN(user string, params ...string) string {
	name, _, _ := strings.Cut(user, "~")
	return e.DSNFor(url.UserPassword(user, Identity{Name: name}.Password()), e.EPMT.Database, params...)
}

// DSNFor is DSN with everything chosen by the caller.
func (e *Endpoint) DSNFor(user *url.Userinfo, database string, params ...string) string {
	query := url.Values{"sslmode": {"disable"}}
	if e.tls {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {e.CAFile}}
	}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		query.Set(name, value)
	}
	u := url.URL{
		Scheme: "postgresql", User: user, Host: e.Addr(), Path: "/" + database,
		// libpq does not take "+" for a space.
		RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20"),
	}
	return u.String()
}

// Addr is host:port.
func (e *Endpoint) Addr() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// SocketAddr is the path of the Unix socket.
func (e *Endpoint) SocketAddr() string { return fmt.Sprintf("%s/.s.PGSQL.%d", e.SocketDir, e.Port) }

// ServerSessions is how many connections PostgreSQL has from the login of a tier ("ro", "rw", "admin").
func (e *Endpoint) ServerSessions(t testing.TB, tier string) int {
	t.Helper()
	text, err := e.Cluster.QueryText(t.Context(), pgtest.Superuser,
		"SELECT count(*) FROM pg_stat_activity WHERE usename = 'epmt-"+tier+"'")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (o *Options) fill(t testing.TB) {
	if o.Cluster == nil {
		o.Cluster, o.EPMT = testpg.Shared(t)
	}
	if o.Port == 0 {
		o.Port = o.Cluster.Port
	}
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	if o.Iterations == 0 {
		o.Iterations = FewIterations
	}
	if o.Server == "" {
		o.Server = `sslmode = "disable"`
	}
}
