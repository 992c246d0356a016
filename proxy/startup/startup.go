// Package startup does everything before a session exists: TLS, the startup packet, authentication, cancel requests.
//
//	listener.Accept -> Acceptor.Accept -> *Client          authenticated and authorised; AuthenticationOk has been sent
//	                                   or *CancelRequest   somebody wants a query cancelled
//	                                   or an error         answered and closed
//
// It runs in a goroutine per connecting client, in blocking Go, under one deadline for the whole login. It moves bytes; who a
// client is and what it may have is decided by package auth. It never reads a byte beyond what it needs: whatever a client
// sends early is still in the socket (or inside the tls.Conn) when the session begins.
//
// Everybody can talk to this package, so it takes nobody's word for a length: memory grows with the bytes that have arrived,
// and to no more than a startup packet (PostgreSQL documentation, "Message Flow", "Start-up").
package startup

import (
	"crypto/tls"
	"net/netip"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/handover"
)

// Param is one run-time parameter that a client asked for at its start, in the order in which PostgreSQL would apply it:
// those of `options` first, then the startup packet's own. Names are as the client wrote them, and are valid names of
// parameters: letters, digits, "_", "$" and "." only.
type Param struct{ Name, Value string }

// Client is a client that has been authenticated and authorised: AuthenticationOk has been sent, nothing after it. Its
// owner sends ParameterStatus, BackendKeyData and ReadyForQuery, or an error. The deadline of the login still holds on the
// connection; handover.Conn.Detach lifts it.
type Client struct {
	Conn     *handover.Conn // not yet detached
	TLS      *tls.Conn      // over Conn; nil without TLS. It may hold bytes that the client sent early
	Addr     netip.AddrPort // of the peer; invalid on a Unix socket
	Protocol uint32         // 3<<16 or 3<<16 | 2: what was negotiated
	Identity auth.Identity
	Decision *auth.Decision    // nil when it has come for the console
	Console  auth.ConsoleRight // NoConsole when it has come for a database
	// ClientKey is what the client has proven to have, by SCRAM, to log in to PostgreSQL with. Only where the decision is a tier
	// in which people log in as themselves, nil otherwise. A secret: its owner wipes it.
	ClientKey *scram.ClientKey
	Params    []Param // without user, database, pgtier.*; identity-changing ones have been refused
}

// CancelRequest is somebody's wish to cancel the query of the session whose key it carries. Clients wait until the connection
// is closed and take that for "done": the owner calls Close when it has done what it will do, and must call it.
type CancelRequest struct {
	PID    uint32
	Secret []byte // 4 to 256 bytes
	TLS    bool   // it came over TLS
	Addr   netip.AddrPort

	conn *handover.Conn
	tls  *tls.Conn
}

// Close closes the connection that the request came on. Nothing is ever sent on it.
func (r *CancelRequest) Close() error {
	if r.tls != nil {
		return r.tls.Close()
	}
	return r.conn.Close()
}
