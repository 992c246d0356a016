package startup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Kinds of authentication message.
const (
	authOK           = 0
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// appendAuthentication appends an authentication message.
//
//	'R' | int32 length | int32 kind | bytes data
func appendAuthentication(dst []byte, kind uint32, data []byte) []byte {
	dst, at := wire.Begin(dst, wire.Authentication)
	return wire.End(append(appendUint32(dst, kind), data...), at)
}

// authenticate finds out whether the client is who it says. Every failure that depends on the name is errPassword: whether
// the name exists, is disabled or has another password must not be told.
func (l *login) authenticate(ctx context.Context, name string) (auth.Identity, error) {
	id, secret := l.cfg.Credentials.Begin(name, l.evidence())
	if id != nil {
		return *id, nil
	}
	exchange, err := l.beginSASL(secret)
	if err != nil {
		return auth.Identity{}, err
	}
	proof, err := l.readSASL()
	if err != nil {
		return auth.Identity{}, err
	}
	reply, err := l.check(ctx, name, exchange, proof)
	if err != nil {
		return auth.Identity{}, err
	}
	l.key = exchange.ClientKey()
	l.out = appendAuthentication(l.out, authSASLFinal, reply)
	method := auth.MethodSCRAM
	if exchange.Plus() {
		method = auth.MethodSCRAMPlus
	}
	return auth.Identity{Name: name, Method: method}, nil
}

// beginSASL offers the mechanisms and answers the client's first message.
func (l *login) beginSASL(secret *scram.Secret) (*scram.Exchange, error) {
	var offer []byte
	for _, mechanism := range scram.Mechanisms(l.binding != nil) {
		offer = append(append(offer, mechanism...), 0)
	}
	if err := l.say(authSASL, append(offer, 0)); err != nil {
		return nil, err
	}
	body, err := l.readSASL()
	if err != nil {
		return nil, err
	}
	mechanism, first, err := parseInitialResponse(body)
	if err != nil {
		return nil, err
	}
	exchange, err := scram.NewExchange(secret, mechanism, l.binding)
	if err != nil {
		return nil, saslError(err)
	}
	if first == nil { // the client wants to hear an empty challenge first
		if err := l.say(authSASLContinue, nil); err != nil {
			return nil, err
		}
		if first, err = l.readSASL(); err != nil {
			return nil, err
		}
	}
	challenge, err := exchange.Next(first)
	if err != nil {
		return nil, saslError(err)
	}
	return exchange, l.say(authSASLContinue, challenge)
}

func (l *login) say(kind uint32, data []byte) error {
	l.out = appendAuthentication(l.out, kind, data)
	return l.flush()
}

// check lets the exchange judge the proof when the throttle lets it.
func (l *login) check(ctx context.Context, name string, exchange *scram.Exchange, proof []byte) ([]byte, error) {
	attempt, wait, ok := l.cfg.Throttle.Admit(l.cfg.Now(), name, l.addr.Addr())
	if !ok {
		l.reason = "throttled"
		return nil, errPassword(name)
	}
	if err := sleep(ctx, wait); err != nil {
		attempt.Abandoned()
		return nil, err
	}
	reply, err := exchange.Next(proof)
	switch {
	case err == nil:
		attempt.Succeeded(l.cfg.Now())
		return reply, nil
	case errors.Is(err, scram.ErrProof):
		attempt.Failed(l.cfg.Now())
		l.reason = "wrong password"
		if !l.cfg.Credentials.Known(name) {
			l.reason = "no such identity, or disabled"
		}
		return nil, errPassword(name)
	default:
		attempt.Abandoned()
		return nil, saslError(err)
	}
}

// sleep waits, or returns why it must not go on.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errPassword is PostgreSQL's answer, whatever was wrong.
func errPassword(name string) error {
	return pgerr.Fatal(pgerr.InvalidPassword, "password authentication failed for user \"%s\"", name)
}

// saslError turns what is wrong with a message into what PostgreSQL says about it. None of it depends on the name.
func saslError(err error) error {
	var wrong *scram.Error
	if !errors.As(err, &wrong) {
		return err
	}
	code := pgerr.ProtocolViolation
	switch wrong.Kind {
	case scram.Unsupported:
		code = pgerr.FeatureNotSupported
	case scram.ChannelBinding:
		code = pgerr.InvalidAuthorization
	}
	e := pgerr.Fatal(code, "%s", wrong.Message)
	e.Detail = wrong.Detail
	return e
}

// initialOverhead is what a SASLInitialResponse has around a message: the mechanism's name and a length.
const initialOverhead = len(scram.SHA256Plus) + 1 + 4

// readSASL reads the body of a SASLInitialResponse or SASLResponse.
//
//	'p' | int32 length | body
func (l *login) readSASL() ([]byte, error) {
	head, err := l.read(wire.HeaderSize)
	if err != nil {
		return nil, fmt.Errorf("waiting for a SASL response: %w", err)
	}
	if head[0] != wire.Password {
		return nil, pgerr.Fatal(pgerr.ProtocolViolation, "expected SASL response, got message type %d", head[0])
	}
	_, size, ok := wire.Header(head)
	if !ok || size > wire.HeaderSize+initialOverhead+scram.MaxMessage {
		return nil, pgerr.Fatal(pgerr.ProtocolViolation, "invalid message length")
	}
	body, err := l.read(size - wire.HeaderSize)
	if err != nil {
		return nil, fmt.Errorf("incomplete SASL response: %w", err)
	}
	return body, nil
}

// parseInitialResponse reads a SASLInitialResponse's body. first is nil when the client sent none, which is not the same as
// an empty one.
//
//	string mechanism \0 | int32 length, -1 for none | bytes first
func parseInitialResponse(body []byte) (mechanism string, first []byte, err error) {
	name, rest, ok := wire.CString(body)
	if !ok {
		return "", nil, pgerr.Fatal(pgerr.ProtocolViolation, "invalid string in message")
	}
	if len(rest) < 4 {
		return "", nil, pgerr.Fatal(pgerr.ProtocolViolation, "insufficient data left in message")
	}
	n, first := binary.BigEndian.Uint32(rest), rest[4:]
	switch {
	case n == 1<<32-1 && len(first) == 0:
		return string(name), nil, nil
	case uint64(n) != uint64(len(first)):
		return "", nil, pgerr.Fatal(pgerr.ProtocolViolation, "invalid message format")
	}
	return string(name), first, nil
}
