package scram

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// ClientKey is what a proof shows that the client has (RFC 5802 section 3). Towards a server whose verifier was made with the
// same password, salt and iterations it is as good as the password: a secret, which is never printed. Who is given one owns it
// and wipes it in the end.
type ClientKey [keySize]byte

// Wipe forgets the key. It may be called on nil.
func (k *ClientKey) Wipe() {
	if k != nil {
		clear(k[:])
	}
}

// Stored returns what a verifier keeps of the key: enough to recognise it, not enough to log in with.
func (k *ClientKey) Stored() StoredKey { return sha256.Sum256(k[:]) }

// Format prints nothing of the key, whatever the verb.
func (k ClientKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "scram.ClientKey(hidden)") }

// MarshalText prints nothing of the key, for loggers that reflect.
func (k ClientKey) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }

// StoredKey recognises a client key. Passwords can be tried against it offline, so it is not printed either.
type StoredKey [keySize]byte

// Format prints nothing of the key, whatever the verb.
func (k StoredKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "scram.StoredKey(hidden)") }

// MarshalText prints nothing of the key, for loggers that reflect.
func (k StoredKey) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }

// PassKey is a client key together with what is known about the server that accepts it: what NewClient logs in with.
type PassKey struct {
	Client     *ClientKey
	server     [keySize]byte // signs what the server says in the end
	salt       string        // as the server is expected to name it
	iterations int
}

// Format prints nothing of the keys, whatever the verb.
func (k PassKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "scram.PassKey(hidden)") }

// MarshalText prints nothing of the keys, for loggers that reflect.
func (k PassKey) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }

// Fits reports whether one of the verifiers is of this key. A mock's never is.
func (s *Secret) Fits(stored StoredKey) bool {
	_, ok := s.serverKey(stored)
	return ok
}

// PassKey returns what logs in with key to a server that has the same verifier; ok is false when none of the verifiers is of
// this key. It shares key, and is worth nothing once that is wiped.
func (s *Secret) PassKey(key *ClientKey) (pass PassKey, ok bool) {
	server, ok := s.serverKey(key.Stored())
	return PassKey{Client: key, server: server, salt: s.salt, iterations: s.iterations}, ok
}

func (s *Secret) serverKey(stored StoredKey) (server [keySize]byte, ok bool) {
	found := 0
	for i := range s.keys {
		fits := subtle.ConstantTimeCompare(stored[:], s.keys[i].stored[:])
		subtle.ConstantTimeCopy(fits, server[:], s.keys[i].server[:])
		found |= fits
	}
	return server, found == 1 && !s.mock
}
