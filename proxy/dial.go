package proxy

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/pool/server"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
)

// Dial logs in to the server of a pool: with the credential of the tier that the pool is of, or with that of the identity. It
// implements relay.Dialer.
func (s *Server) Dial(ctx context.Context, p *pool.Pool) (*relay.Conn, error) {
	snap := s.snapshot.Load()
	if snap.tier(p.Key) == nil {
		return nil, &relay.DialError{Definite: true, Cause: errors.New("the tier has been removed from the configuration"),
			Public: pgerr.Fatal(pgerr.InvalidAuthorization, "tier %q of database %q does not exist any more", p.Key.Tier, p.Key.Database)}
	}
	target, err := snap.target(p.Key)
	if err != nil {
		return nil, s.dialFailed(p.Key, &server.Error{Definite: true, Cause: err})
	}
	if p.Key.Identity != "" {
		return s.dialOwn(ctx, snap, p.Key, target)
	}
	latest := snap.password[snap.tier(p.Key)]
	target.FirstPassword = int(latest.Load())
	c, err := server.Connect(ctx, target)
	if err != nil {
		return nil, s.dialFailed(p.Key, err)
	}
	latest.Store(int32(c.Password))
	return serverConn(c), nil
}

// errNobody is no fault of anybody's: the session that wanted the connection has left with its key.
var errNobody = errors.New("nobody of the pool is there any more")

// dialOwn logs in as the person that the pool is of. A key passes through only as long as the configuration in force has a
// verifier of it: somebody whose password has been changed keeps no way in by an old session.
func (s *Server) dialOwn(ctx context.Context, snap *snapshot, key pool.Key, target server.Target) (*relay.Conn, error) {
	if target.SSLKey != "" {
		if err := config.CheckKeyFile(target.SSLKey); err != nil {
			return nil, s.dialFailed(key, &server.Error{Definite: true, Cause: err})
		}
	}
	keys, sessions := s.keys.copies(key)
	defer func() {
		for _, k := range keys {
			k.Wipe()
		}
	}()
	if sessions == 0 {
		return nil, &relay.DialError{Cause: errNobody}
	}
	if len(target.Passwords) == 0 {
		target.Keys = passKeys(snap, key.Identity, keys)
	}
	c, err := server.Connect(ctx, target)
	if err != nil {
		return nil, s.dialFailed(key, err)
	}
	return serverConn(c), nil
}

func passKeys(snap *snapshot, identity string, keys []*scram.ClientKey) (pass []scram.PassKey) {
	for _, k := range keys {
		if p, ok := snap.credentials.PassKey(identity, k); ok {
			pass = append(pass, p)
		}
	}
	return pass
}

func serverConn(c *server.Conn) *relay.Conn {
	return &relay.Conn{Net: c.Net, TLS: c.TLS, PID: c.PID, Addr: c.Addr, Params: c.Params, Cancel: c.CancelTarget()}
}

// dialFailed says to clients what they may know, and the rest to the log.
func (s *Server) dialFailed(key pool.Key, err error) *relay.DialError {
	d := &relay.DialError{Cause: err}
	var e *server.Error
	if errors.As(err, &e) {
		d.Definite, d.Public = e.Definite, e.Public
	}
	if key.Identity != "" && d.Definite && (d.Public == nil || strings.HasPrefix(d.Public.Code, "28")) {
		d.Public = pgerr.Fatal(pgerr.InvalidAuthorization, "PostgreSQL did not let %q log in", key.Role).
			WithHint("pgtier logs in to database %q as you: PostgreSQL must take the password that you gave pgtier, or the certificate "+
				"that pgtier has for you. The log of pgtier says why it did not.", key.Database)
	}
	incident := ""
	if d.Public == nil {
		incident = pgerr.Incident()
		d.Public = pgerr.Fatal(pgerr.ConnectionFailure, "cannot reach database %q (tier %s); incident %s", key.Database, key.Tier, incident)
	}
	s.log.Warn("server login failed", zap.String("database", key.Database), zap.String("tier", key.Tier),
		zap.String("role", key.Role), zap.String("identity", key.Identity), zap.Bool("definite", d.Definite),
		zap.String("incident", incident), zap.Error(err))
	return d
}
