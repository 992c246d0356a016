// Package server makes one connection to one PostgreSQL, from dial to hand-over.
//
// Connect dials, negotiates TLS, logs in (pgconn's exchange, or the one with a client key, watched by a guard) and returns a Conn that is idle, clean
// and has no byte of the server left unread outside its tls.Conn. From then on the caller owns it; this package keeps
// nothing. Connect blocks: it runs in a goroutine of its own, never on a loop.
//
// Everything comes from the Target: neither the environment (PGHOST, PGPASSWORD, PGSERVICE...) nor ~/.pgpass nor
// ~/.postgresql has any influence.
package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/handover"
)

// Target is how to reach one database as one login. It is only read, and safe for concurrent use as long as nobody
// changes it. It never prints its passwords and keys.
type Target struct {
	Hosts    []string // each "host", "host:port" or a socket directory ("/..." or "@..."); tried in order
	Port     uint16   // for hosts without one; 0 = 5432
	Database string   // the name on the server
	Login    string

	Passwords     []string // tried in order on 28P01; none for trust, peer and certificates: a server that asks is refused
	FirstPassword int      // the one to try first, as Conn.Password said last time

	Keys []scram.PassKey // instead of passwords: SCRAM client keys, tried in order on 28P01. Only read, and not kept

	SSLMode     string // libpq's words (PostgreSQL documentation, "SSL Support"); "" = prefer. Not looked at on Unix sockets
	SSLRootCert string // file or "system"; "" = none: verify-full then means the system's roots
	SSLCert     string // files of the client certificate; both or none
	SSLKey      string

	Params          map[string]string // sent in the startup packet; may hold "role", may not hold what Target has fields for
	ConnectTimeout  time.Duration     // for the whole of Connect, all hosts together; 0 = as long as the context allows
	AcceptSuperuser bool              // otherwise a login that is a superuser is refused
	AskSuperuser    bool              // do not rely on what the server reports: the login may have settings of its own that hide it
}

// String names the login and the place, never a secret.
func (t Target) String() string {
	return fmt.Sprintf("login %q to database %q on %q", t.Login, t.Database, t.Hosts)
}

// Format makes every verb print String: %+v and %#v would print the passwords.
func (t Target) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalJSON gives String, for loggers that reflect.
func (t Target) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// Conn is a connection that has been logged in and waits for the first query: ReadyForQuery('I') was the last message.
type Conn struct {
	Net      *handover.Conn    // not yet detached; the caller owns it
	TLS      *tls.Conn         // over Net; nil without TLS. May hold bytes that it has read from Net already
	PID      uint32            // of the server process; 0 when the server did not say
	Params   map[string]string // as the server reported them (ParameterStatus); the caller's
	Addr     string            // where it was reached: "10.1.2.3:5432" or the path of the socket
	Password int               // which of Target.Passwords was accepted: FirstPassword for the next time

	cancel CancelTarget
}

// CancelTarget returns what is needed to cancel a query of this connection. It stays valid after the hand-over, and
// after the connection's end the server ignores it.
func (c *Conn) CancelTarget() CancelTarget { return c.cancel }

// Close ends a connection that was not handed over: Terminate, then close.
func (c *Conn) Close() {
	terminate := []byte{'X', 0, 0, 0, 4}
	_ = c.Net.SetDeadline(time.Now().Add(time.Second))
	if c.TLS != nil {
		_, _ = c.TLS.Write(terminate)
	} else {
		_, _ = c.Net.Write(terminate)
	}
	_ = c.Net.Close()
}

// String names the place and the process.
func (c *Conn) String() string { return fmt.Sprintf("server process %d at %s", c.PID, c.Addr) }

// Format makes every verb print String: the cancel key is a secret.
func (c *Conn) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }
