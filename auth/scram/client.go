package scram

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Client is the client's side of one SCRAM-SHA-256 exchange, with a client key in place of a password:
//
//	First -> server-first -> Final -> server-final -> Verify, and nil
//
// Nothing is hashed as often as the server says: the key is the result of that. The channel is not bound (the flag is "n"): a
// server that lies does not learn the key, since a proof tells it only to who has the verifier. After an error it is over. It
// is not safe for concurrent use.
type Client struct {
	key    PassKey
	nonce  string
	auth   [][]byte // the message that both sides sign
	other  bool
	proven bool
}

// NewClient starts an exchange.
func NewClient(key PassKey) *Client {
	var raw [nonceBytes]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	return newClient(key, base64.StdEncoding.EncodeToString(raw[:]))
}

func newClient(key PassKey, nonce string) *Client { return &Client{key: key, nonce: nonce} }

const clientGS2 = "n,," // no channel binding, no authorization identity

// bare is client-first-message-bare. PostgreSQL takes the name from the startup packet, so none is said here, as libpq does.
func (c *Client) bare() string { return "n=,r=" + c.nonce }

// First returns client-first-message.
func (c *Client) First() []byte { return []byte(clientGS2 + c.bare()) }

// errServer is what a server is refused for that does not speak SCRAM as it must. What it said is not repeated.
var errServer = errors.New("scram: the server's message is malformed")

// ErrSignature says that the server does not have the verifier that the exchange was about: it is not the server that the key
// is for.
var ErrSignature = errors.New("scram: the server could not prove that it has the identity's verifier")

// Final takes server-first-message and returns client-final-message with the proof.
func (c *Client) Final(serverFirst []byte) ([]byte, error) {
	said, ok := parseServerFirst(serverFirst)
	if !ok || len(said.nonce) <= len(c.nonce) || !strings.HasPrefix(said.nonce, c.nonce) {
		return nil, errServer
	}
	c.other = said.salt != c.key.salt || said.iterations != c.key.iterations
	withoutProof := "c=" + base64.StdEncoding.EncodeToString([]byte(clientGS2)) + ",r=" + said.nonce
	c.auth = [][]byte{[]byte(c.bare() + "," + string(serverFirst) + "," + withoutProof)}
	stored := c.key.Client.Stored()
	proof := sign(stored[:], c.auth...)
	subtle.XORBytes(proof, proof, c.key.Client[:])
	c.proven = true
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// serverFirst is server-first-message (RFC 5802 section 7).
//
//	r=nonce "," s=salt "," i=iterations ["," extensions]
type serverFirst struct {
	nonce      string // both sides'
	salt       string // raw bytes
	iterations int
}

func parseServerFirst(message []byte) (m serverFirst, ok bool) {
	text, bad := checkText(message)
	if bad != nil {
		return m, false
	}
	r := reader{text}
	var salt, count string
	for _, field := range []struct {
		letter byte
		value  *string
	}{{'r', &m.nonce}, {'s', &salt}, {'i', &count}} {
		if *field.value, bad = r.value(field.letter); bad != nil {
			return m, false
		}
	}
	raw, isSalt := decode(salt)
	n, err := strconv.ParseUint(count, 10, 32)
	m.salt, m.iterations = string(raw), int(n)
	printable := !strings.ContainsFunc(m.nonce, func(c rune) bool { return c < 0x21 || c > 0x7e })
	return m, printable && isSalt && len(raw) > 0 && err == nil && 1 <= n && n <= MaxIterations
}

// Verify takes server-final-message. The error is ErrSignature when the server could not sign with the verifier's own key, so
// that whoever answers in its place is found out.
func (c *Client) Verify(serverFinal []byte) error {
	text, bad := checkText(serverFinal)
	if bad != nil || !c.proven {
		return errServer
	}
	c.proven = false
	r := reader{text}
	letter, value, bad := r.attribute()
	switch signature, ok := decode(value); {
	case bad != nil || letter != 'v' && letter != 'e':
		return errServer
	case letter == 'e':
		return errors.New("scram: the server refused the proof")
	case !ok || subtle.ConstantTimeCompare(signature, sign(c.key.server[:], c.auth...)) != 1:
		return ErrSignature
	}
	return nil
}

// OtherVerifier reports whether the server named another salt or another count of iterations than the identity's verifier
// has: then the key cannot fit, and a refusal has its reason.
func (c *Client) OtherVerifier() bool { return c.other }
