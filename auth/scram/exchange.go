package scram

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

// Exchange is one client's SCRAM exchange:
//
//	client-first -> Next -> server-first
//	client-final -> Next -> server-final, and Done is true
//
// After an error it is over. It is not safe for concurrent use.
type Exchange struct {
	secret      *Secret
	plus        bool   // the client selected SCRAM-SHA-256-PLUS
	binding     []byte // tls-server-end-point data; nil: PLUS was not offered
	serverNonce string

	state       state
	first       clientFirst
	serverFirst string
	clientKey   ClientKey
}

type state uint8

const (
	expectFirst state = iota
	expectFinal
	done
	failed
)

// NewExchange starts an exchange with the mechanism that the client selected. binding is the tls-server-end-point data of the
// connection, nil when there is none; it must be what Mechanisms was asked about.
func NewExchange(secret *Secret, mechanism string, binding []byte) (*Exchange, error) {
	var raw [nonceBytes]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	return newExchange(secret, mechanism, binding, base64.StdEncoding.EncodeToString(raw[:]))
}

func newExchange(secret *Secret, mechanism string, binding []byte, serverNonce string) (*Exchange, error) {
	plus := mechanism == SHA256Plus && binding != nil
	if mechanism != SHA256 && !plus {
		return nil, &Error{Kind: Malformed, Message: "client selected an invalid SASL authentication mechanism"}
	}
	return &Exchange{secret: secret, plus: plus, binding: binding, serverNonce: serverNonce}, nil
}

// Next takes the client's message and returns the answer to it. The error is ErrProof or an *Error; the message is not kept.
func (x *Exchange) Next(message []byte) (reply []byte, err error) {
	current := x.state
	x.state = failed
	text, bad := checkText(message)
	if bad != nil {
		return nil, bad
	}
	switch current {
	case expectFirst:
		if bad := x.readFirst(text); bad != nil {
			return nil, bad
		}
		x.state = expectFinal
		return []byte(x.serverFirst), nil
	case expectFinal:
		if reply, err = x.readFinal(text); err == nil {
			x.state = done
		}
		return reply, err
	default:
		panic("BUG: scram.Exchange.Next after the end")
	}
}

// Done reports whether the client has proven that it knows the password.
func (x *Exchange) Done() bool { return x.state == done }

// Plus reports whether the exchange is bound to its TLS connection.
func (x *Exchange) Plus() bool { return x.plus }

// ClientKey hands over the key that the client proved to have: the exchange keeps no copy, and a second call gives nil, as does
// one before Done. With it pgtier can log in to a server whose verifier has the same salt and iterations.
func (x *Exchange) ClientKey() *ClientKey {
	if x.state != done || x.clientKey == (ClientKey{}) {
		return nil
	}
	key := x.clientKey
	x.clientKey.Wipe()
	return &key
}

func checkText(message []byte) (string, *Error) {
	switch {
	case len(message) == 0:
		return "", malformed("The message is empty.")
	case len(message) > MaxMessage:
		return "", malformed("The message is too long.")
	}
	text := string(message)
	if strings.IndexByte(text, 0) >= 0 {
		return "", malformed("Message length does not match input length.")
	}
	return text, nil
}

func (x *Exchange) readFirst(text string) (err *Error) {
	if x.first, err = parseClientFirst(text); err != nil {
		return err
	}
	if err = x.checkFlag(); err != nil {
		return err
	}
	salt := base64.StdEncoding.EncodeToString([]byte(x.secret.salt))
	x.serverFirst = "r=" + x.first.nonce + x.serverNonce + ",s=" + salt + ",i=" + strconv.Itoa(x.secret.iterations)
	return nil
}

// checkFlag holds the client's channel-binding flag against what was offered and selected (RFC 5802 section 6). 'y' says "I
// could, but you cannot": when we can, somebody between us has removed our offer.
func (x *Exchange) checkFlag() *Error {
	switch {
	case x.first.flag == 'p' && !x.plus:
		return malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.")
	case x.first.flag != 'p' && x.plus:
		return malformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.")
	case x.first.flag == 'p' && x.first.binding != "tls-server-end-point":
		return &Error{Kind: Malformed, Message: "unsupported SCRAM channel-binding type"}
	case x.first.flag == 'y' && x.binding != nil:
		return &Error{Kind: ChannelBinding, Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding."}
	}
	return nil
}

func (x *Exchange) readFinal(text string) ([]byte, error) {
	final, err := parseClientFinal(text)
	if err == nil {
		err = x.checkBinding(final.binding)
	}
	if err == nil && final.nonce != x.first.nonce+x.serverNonce {
		err = &Error{Kind: Malformed, Message: "invalid SCRAM response", Detail: "Nonce does not match."}
	}
	if err != nil {
		return nil, err
	}
	authMessage := [][]byte{[]byte(x.first.bare + "," + x.serverFirst + "," + final.withoutProof)}
	clientKey, serverKey, ok := x.secret.check(final.proof, authMessage)
	if !ok {
		return nil, ErrProof
	}
	x.clientKey = clientKey
	return []byte("v=" + base64.StdEncoding.EncodeToString(sign(serverKey[:], authMessage...))), nil
}

// checkBinding compares c= with the header of the first message and the data of the connection that we see.
func (x *Exchange) checkBinding(got string) *Error {
	want := []byte(x.first.gs2)
	if x.plus {
		want = append(want, x.binding...)
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(base64.StdEncoding.EncodeToString(want))) == 1 {
		return nil
	}
	if x.plus {
		return &Error{Kind: ChannelBinding, Message: "SCRAM channel binding check failed"}
	}
	return &Error{Kind: Malformed, Message: "unexpected SCRAM channel-binding attribute in client-final-message"}
}
