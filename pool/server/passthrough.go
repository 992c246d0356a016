package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/auth/scram"
)

// pgconn logs in with passwords only. A login with a client key is made here, message by message, and pgconn goes on from
// ReadyForQuery. What may come when (PostgreSQL documentation, "Message Flow", "Start-up"):
//
//	opening --SASL--> asked --SASLContinue--> proven --SASLFinal--> believed --Ok--> in --ParameterStatus, BackendKeyData--> ReadyForQuery
//	   \------------------------------ Ok: it does not ask ---------------------------^
//
// A server that does not ask is taken, as with a password: it has pg_hba.conf's reasons (cert, peer, trust), and who it is is
// for sslmode to say. One that has begun to ask is not taken before it has proven itself.
type progress uint8

const (
	opening progress = iota
	asked
	proven
	believed
	in
)

// keyLogin is one login with a client key.
type keyLogin struct {
	front  *pgproto3.Frontend
	scram  *scram.Client
	at     progress
	result *pgconn.HijackedConn
}

// errOrder is a server whose messages come when they must not.
var errOrder = errors.New("the server broke the protocol during the login")

// errMethod is a server that asks for something else than SCRAM.
var errMethod = errors.New("the server does not ask for SCRAM-SHA-256, the only method that passes a client's login through; " +
	"use scram-sha-256 in pg_hba.conf, and a password that is stored so")

// passThrough logs in with the client key of l. other reports that the server named another verifier than the key is of.
func (l *login) passThrough(ctx context.Context, c *Conn, cfg *pgconn.Config) (pg *pgconn.PgConn, other bool, err error) {
	conn := net.Conn(c.Net)
	if c.TLS != nil {
		conn = c.TLS
	}
	// pgconn dials to cancel a query that it gives up, and would be given the connection that it has.
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not dialling again") }
	k := &keyLogin{
		front: cfg.BuildFrontend(conn, conn), scram: scram.NewClient(*l.key),
		result: &pgconn.HijackedConn{Conn: conn, ParameterStatuses: make(map[string]string), TxStatus: 'I', Config: cfg},
	}
	k.front.SetMaxBodyLen(cfg.MaxProtocolMessageBodyLen)
	err = k.run(ctx, c, l)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, k.scram.OtherVerifier(), fmt.Errorf("%s (%s): %w", c.Addr, l.at.host, err)
	}
	pg, err = pgconn.Construct(k.result)
	return pg, false, err
}

func (k *keyLogin) run(ctx context.Context, c *Conn, l *login) error {
	defer interruptOn(ctx, c.Net)()
	params := map[string]string{"user": l.Login, "database": l.Database}
	maps.Copy(params, l.Params)
	if err := k.say(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: params}); err != nil {
		return err
	}
	for {
		m, err := k.front.Receive()
		if err != nil {
			return err
		}
		if ready, is := m.(*pgproto3.ReadyForQuery); is && k.at == in {
			if ready.TxStatus != 'I' || k.front.ReadBufferLen() != 0 {
				return errOrder // it has not been asked anything
			}
			return nil
		}
		if err := k.take(m); err != nil {
			return err
		}
	}
}

func (k *keyLogin) say(m pgproto3.FrontendMessage) error {
	k.front.Send(m)
	return k.front.Flush()
}

// take is the one transition of the login: what a message means depends on how far it is.
func (k *keyLogin) take(m pgproto3.BackendMessage) error {
	switch m := m.(type) {
	case *pgproto3.NoticeResponse:
		return nil
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(m)
	case *pgproto3.AuthenticationSASL:
		return k.begin(m.AuthMechanisms)
	case *pgproto3.AuthenticationSASLContinue:
		return k.prove(m.Data)
	case *pgproto3.AuthenticationSASLFinal:
		if k.at != proven {
			return errOrder
		}
		if err := k.scram.Verify(m.Data); err != nil {
			return err
		}
		k.at = believed
		return nil
	case *pgproto3.AuthenticationOk:
		if k.at != opening && k.at != believed {
			return errOrder
		}
		k.at = in
		return nil
	case *pgproto3.AuthenticationCleartextPassword, *pgproto3.AuthenticationMD5Password, *pgproto3.AuthenticationGSS:
		return errMethod
	case *pgproto3.ParameterStatus:
		if k.at == in {
			k.result.ParameterStatuses[m.Name] = m.Value
			return nil
		}
	case *pgproto3.BackendKeyData:
		if k.at == in {
			k.result.PID, k.result.SecretKey = m.ProcessID, bytes.Clone(m.SecretKey)
			return nil
		}
	}
	return errOrder
}

func (k *keyLogin) begin(mechanisms []string) error {
	if k.at != opening {
		return errOrder
	}
	k.at = asked
	for _, mechanism := range mechanisms {
		if mechanism == scram.SHA256 {
			return k.say(&pgproto3.SASLInitialResponse{AuthMechanism: scram.SHA256, Data: k.scram.First()})
		}
	}
	return errMethod
}

func (k *keyLogin) prove(challenge []byte) error {
	if k.at != asked {
		return errOrder
	}
	k.at = proven
	proof, err := k.scram.Final(challenge)
	if err != nil {
		return err
	}
	return k.say(&pgproto3.SASLResponse{Data: proof})
}

// keyRefused makes an Error of why a login with a client key failed.
func keyRefused(err error, other bool) *Error {
	e := refused(err, "")
	switch {
	case errors.Is(err, scram.ErrSignature), errors.Is(err, errMethod):
		e.Definite, e.answered = true, true
	case other && e.password:
		e.Cause = fmt.Errorf("%w (the server named another salt or iteration count than the identity's verifier in pgtier has: "+
			"PostgreSQL has no such role, no password for it, or another verifier)", e.Cause)
	}
	return e
}
