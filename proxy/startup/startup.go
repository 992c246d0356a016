// Package startup does everything before a session exists: TLS, the startup packet, authentication, cancel requests.
package startup

import (
	"crypto/tls"
	"net/netip"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/handover"
)

// Param is one run-time parameter that a client asked for at its start, in the order in which PostgreSQL would apply it:
// those of `options` first, then the startup packet's own. Names are as the client wrote them.
type Param struct{ Name, Value string }

// Client is a client that has been authenticated and authorised: AuthenticationOk has been sent, nothing after it. Its
// owner sends ParameterStatus, BackendKeyData and ReadyForQuery, or an error.
type Client struct {
	Conn     *handover.Conn // not yet detached
	TLS      *tls.Conn      // over Conn; nil without TLS
	Addr     netip.AddrPort // of the peer; invalid on a Unix socket
	Protocol uint32         // 3<<16 or 3<<16 | 2: what was negotiated
	Identity auth.Identity
	Decision *auth.Decision
	Params   []Param // without user, database, pgtier.*; identity-changing ones have been refused
}
