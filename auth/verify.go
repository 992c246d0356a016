package auth

import (
	"crypto/x509"

	"github.com/pgtier/pgtier/auth/scram"
)

// Methods, as in Identity.Method.
const (
	MethodCert      = "cert"
	MethodPeer      = "peer"
	MethodSCRAM     = "scram-sha-256"
	MethodSCRAMPlus = "scram-sha-256-plus"
)

// Evidence is what a connection shows of its client without being asked. The zero value is none.
type Evidence struct {
	Leaf   *x509.Certificate // the certificate that TLS has verified against tls_client_ca; nil: none
	OSUser string            // who is at the other end of a Unix socket; "": not known, or not a Unix socket
}

// Begin starts the authentication of a client that says it is name. When the evidence is enough, id is who it is and secret
// is nil. Otherwise id is nil and the client must be asked for a proof of secret, whether name exists or not: the secret of a
// name that is unknown, disabled or without a password is a mock, whose proofs always fail.
//
// A certificate or an OS user that does not fit is not an error: the identity may have a password as well, and an answer
// that differs would say that the name exists.
func (c *Credentials) Begin(name string, shown Evidence) (id *Identity, secret *scram.Secret) {
	credential := c.identities[name]
	switch {
	case credential == nil:
	case matchesCertificate(credential.certs, shown.Leaf):
		return &Identity{Name: name, Method: MethodCert}, nil
	case credential.peer != "" && credential.peer == shown.OSUser:
		return &Identity{Name: name, Method: MethodPeer}, nil
	case credential.secret != nil:
		return nil, credential.secret
	}
	return nil, scram.Mock(c.mockKey[:], name, c.saltSize, c.iterations)
}

// PassKey returns what a server that has a verifier of name's lets in with key, which name has proven. ok is false when key is of
// no verifier that name has now.
func (c *Credentials) PassKey(name string, key *scram.ClientKey) (pass scram.PassKey, ok bool) {
	if credential := c.identities[name]; credential != nil && credential.secret != nil {
		return credential.secret.PassKey(key)
	}
	return scram.PassKey{}, false
}

// Fits reports whether name could still log in with the client key that stored recognises.
func (c *Credentials) Fits(name string, stored scram.StoredKey) bool {
	credential := c.identities[name]
	return credential != nil && credential.secret != nil && credential.secret.Fits(stored)
}

// Known says whether name may log in at all. It is for the log only: a client must never learn it.
func (c *Credentials) Known(name string) bool { return c.identities[name] != nil }
