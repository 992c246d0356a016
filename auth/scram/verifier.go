package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DefaultIterations and DefaultSaltSize are PostgreSQL's (scram_iterations, SCRAM_DEFAULT_SALT_LEN).
const (
	DefaultIterations = 4096
	DefaultSaltSize   = 16
)

// MaxIterations bounds what a verifier may ask of clients, and what minting costs us: a few seconds. pgx refuses more than
// this, too. MaxSaltSize is in bytes; nobody makes a salt of more than 64, and it is sent to anybody who asks.
const (
	MaxIterations = 10_000_000
	MaxSaltSize   = 256
)

// Verifier is a stored SCRAM secret: enough to check a proof, not enough to make one (RFC 5802 section 3). The zero value is
// not valid. Verifiers are comparable with ==, but not in constant time.
type Verifier struct {
	salt       string // raw bytes
	iterations int
	stored     [keySize]byte
	server     [keySize]byte
}

var errVerifier = errors.New("not a SCRAM-SHA-256 verifier; it looks like SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>")

// ParseVerifier reads the form that PostgreSQL keeps in pg_authid.rolpassword:
//
//	SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>
//
// The last three are base64 with padding. An error never repeats the text.
func ParseVerifier(text string) (Verifier, error) {
	scheme, rest, _ := strings.Cut(text, "$")
	parameters, keys, _ := strings.Cut(rest, "$")
	iterations, salt, _ := strings.Cut(parameters, ":")
	stored, server, ok := strings.Cut(keys, ":")
	if !ok || scheme != SHA256 {
		return Verifier{}, errVerifier
	}
	n, err := strconv.ParseUint(iterations, 10, 32)
	if err != nil {
		return Verifier{}, errVerifier
	}
	if n < 1 || n > MaxIterations {
		return Verifier{}, fmt.Errorf("SCRAM iterations must be from 1 to %d", MaxIterations)
	}
	v := Verifier{iterations: int(n)}
	raw, ok := decode(salt)
	if !ok || len(raw) == 0 || len(raw) > MaxSaltSize {
		return Verifier{}, errVerifier
	}
	v.salt = string(raw)
	if !decodeKey(&v.stored, stored) || !decodeKey(&v.server, server) {
		return Verifier{}, errVerifier
	}
	return v, nil
}

// Mint makes the verifier of a password. It normalises the password as PostgreSQL does (Prepare) and takes about 0.3 µs per
// iteration. It panics when iterations or the salt's size are out of bounds: the caller has checked them.
func Mint(password string, salt []byte, iterations int) Verifier {
	if iterations < 1 || iterations > MaxIterations || len(salt) == 0 || len(salt) > MaxSaltSize {
		panic("BUG: scram.Mint with iterations or salt out of bounds")
	}
	salted, err := pbkdf2.Key(sha256.New, Prepare(password), salt, iterations, keySize)
	if err != nil {
		panic("BUG: scram.Mint: " + err.Error())
	}
	v := Verifier{salt: string(salt), iterations: iterations}
	v.stored = sha256.Sum256(sign(salted, []byte("Client Key")))
	copy(v.server[:], sign(salted, []byte("Server Key")))
	return v
}

// NewSalt returns a random salt of DefaultSaltSize bytes.
func NewSalt() []byte {
	salt := make([]byte, DefaultSaltSize)
	_, _ = rand.Read(salt) // never fails since Go 1.24
	return salt
}

// Salt returns the raw salt. A client is told it before it proves anything: it is not a secret.
func (v Verifier) Salt() []byte { return []byte(v.salt) }

// Iterations returns the iteration count.
func (v Verifier) Iterations() int { return v.iterations }

// Encode returns the form that ParseVerifier reads. The result is a secret: whoever has it can pretend to be this server, and
// can try passwords offline.
func (v Verifier) Encode() string {
	b64 := base64.StdEncoding.EncodeToString
	return SHA256 + "$" + strconv.Itoa(v.iterations) + ":" + b64([]byte(v.salt)) + "$" + b64(v.stored[:]) + ":" + b64(v.server[:])
}

// Format prints without the keys, whatever the verb.
func (v Verifier) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s$%d:(hidden)", SHA256, v.iterations)
}

// decode is strict: encoding/base64 alone skips line breaks.
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}

func decodeKey(dst *[keySize]byte, s string) bool {
	b, ok := decode(s)
	if !ok || len(b) != keySize {
		return false
	}
	copy(dst[:], b)
	return true
}

// sign is HMAC-SHA-256 over the concatenated parts.
func sign(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}
