// Package scram is the server side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS as a pure exchange: messages in, messages out; and the
// client side of SCRAM-SHA-256 for who has a client key and no password.
//
// It follows RFC 5802, RFC 7677 and, where those leave room, PostgreSQL (src/backend/libpq/auth-scram.c): the user name
// inside the messages is ignored, extensions are ignored, SASLprep is lenient, and the only channel binding is
// tls-server-end-point (RFC 5929). It does no I/O and knows neither identities nor frames: package auth decides whose
// Secret is used, package startup carries the messages.
//
// What a Secret may hold, and why one name can have several verifiers at once, is written at Secret. Nothing here prints a
// secret: Verifier and Secret format themselves without their keys, and no error repeats what was parsed.
package scram

import "errors"

// The mechanisms, as in AuthenticationSASL.
const (
	SHA256     = "SCRAM-SHA-256"
	SHA256Plus = "SCRAM-SHA-256-PLUS"
)

// MaxMessage is the longest message that a client may send, in bytes: PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH. Real ones have
// less than 300; nobody needs more, and an unauthenticated client does not get to choose how much we hold for it.
const MaxMessage = 1024

const (
	keySize    = 32 // SHA-256
	nonceBytes = 18 // as PostgreSQL; 24 letters in base64
)

// ErrProof says that the client does not know the password, or that the name has none. It is one value so that the two
// cannot be told apart by it.
var ErrProof = errors.New("scram: the proof does not match")

// Kind is what is wrong with a client's message.
type Kind uint8

const (
	Malformed      Kind = iota // not a SCRAM message in its place; SQLSTATE 08P01
	Unsupported                // SCRAM, but a part of it that is not supported; 0A000
	ChannelBinding             // the two sides do not see the same TLS connection or the same offer; 28000
)

// Error is a message that cannot be accepted whoever the client is. Message and Detail are PostgreSQL's and may be shown to
// the client: they never depend on a secret or on whether the name exists.
type Error struct {
	Kind    Kind
	Message string
	Detail  string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "scram: " + e.Message
	}
	return "scram: " + e.Message + ": " + e.Detail
}

func malformed(detail string) *Error {
	return &Error{Kind: Malformed, Message: "malformed SCRAM message", Detail: detail}
}

// Mechanisms returns what to offer, best first. hasBinding says whether the connection has tls-server-end-point data: the
// same that is given to NewExchange.
func Mechanisms(hasBinding bool) []string {
	if hasBinding {
		return []string{SHA256Plus, SHA256}
	}
	return []string{SHA256}
}
