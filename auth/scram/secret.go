package scram

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// Secret is what the proofs for one name are checked against: one or several verifiers with the same salt and iterations. It
// is immutable.
//
// Several are for rotation, when the old and the new password are both valid for a while. The server names salt and
// iterations before the client proves anything, and the client's proof fits these only; so one exchange can try all
// verifiers that share them, and no others.
type Secret struct {
	salt       string
	iterations int
	keys       []keys // never empty
	mock       bool
}

type keys struct{ stored, server [keySize]byte }

var errMixed = errors.New("scram: verifiers with different salts or iterations cannot be checked in one exchange")

// NewSecret joins verifiers, of which there is at least one. All must have the salt and the iterations of the first.
func NewSecret(verifiers ...Verifier) (*Secret, error) {
	if len(verifiers) == 0 {
		return nil, errors.New("scram: no verifier")
	}
	s := &Secret{salt: verifiers[0].salt, iterations: verifiers[0].iterations}
	for _, v := range verifiers {
		if v.salt != s.salt || v.iterations != s.iterations {
			return nil, errMixed
		}
		s.keys = append(s.keys, keys{v.stored, v.server})
	}
	return s, nil
}

// Mock returns a doomed Secret for a name that has none: an exchange against it looks and costs as any other and never
// succeeds. The same key and name give the same salt each time, as a stored verifier would.
func Mock(key []byte, name string, saltSize, iterations int) *Secret {
	s := &Secret{salt: string(Salt(key, name, saltSize)), iterations: iterations, keys: make([]keys, 1), mock: true}
	copy(s.keys[0].stored[:], sign(key, []byte("mock stored key\x00"), []byte(name)))
	return s
}

// Salt derives the salt of a name from a secret key: nobody without the key can tell it from a random one. Identities whose
// verifiers are minted from plaintext passwords use it, too: existing or not, known before a reload or not, a name has one salt.
// size is at most 32.
func Salt(key []byte, name string, size int) []byte {
	return sign(key, []byte("salt\x00"), []byte(name))[:size]
}

// Format prints nothing of the keys, whatever the verb.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "scram.Secret(hidden)") }

// check looks for the verifier that the proof fits, in the same time whether and where there is one.
func (s *Secret) check(proof []byte, authMessage [][]byte) (clientKey, serverKey [keySize]byte, ok bool) {
	found := 0
	for i := range s.keys {
		candidate := [keySize]byte(proof)
		subtle.XORBytes(candidate[:], candidate[:], sign(s.keys[i].stored[:], authMessage...))
		hashed := sha256.Sum256(candidate[:])
		fits := subtle.ConstantTimeCompare(hashed[:], s.keys[i].stored[:])
		subtle.ConstantTimeCopy(fits, clientKey[:], candidate[:])
		subtle.ConstantTimeCopy(fits, serverKey[:], s.keys[i].server[:])
		found |= fits
	}
	return clientKey, serverKey, found == 1 && !s.mock
}
