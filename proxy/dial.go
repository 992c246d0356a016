package proxy

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/pool/server"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// Dial logs in to the server of a pool, with the credential of the tier that the pool is of. It implements relay.Dialer.
func (s *Server) Dial(ctx context.Context, p *pool.Pool) (*relay.Conn, error) {
	snap := s.snapshot.Load()
	tier := snap.tier(p.Key)
	if tier == nil {
		return nil, &relay.DialError{Definite: true, Cause: errors.New("the tier has been removed from the configuration"),
			Public: pgerr.Fatal(pgerr.InvalidAuthorization, "tier %q of database %q does not exist any more", p.Key.Tier, p.Key.Database)}
	}
	target := target(tier, p.Key.Role)
	target.FirstPassword = int(snap.password[tier].Load())
	c, err := server.Connect(ctx, target)
	if err != nil {
		return nil, s.dialFailed(p.Key, err)
	}
	snap.password[tier].Store(int32(c.Password))
	return &relay.Conn{Net: c.Net, TLS: c.TLS, PID: c.PID, Addr: c.Addr, Params: c.Params, Cancel: c.CancelTarget()}, nil
}

func (snap *snapshot) tier(key pool.Key) *config.Tier {
	db := snap.cfg.Databases[key.Database]
	if db == nil {
		return nil
	}
	return db.Tiers[key.Tier]
}

func target(t *config.Tier, role string) server.Target {
	params := make(map[string]string, len(t.Settings)+1)
	for name, value := range t.Settings {
		params[name] = value
	}
	switch {
	case t.Isolation == "shared":
		// A login that many identities share may have been set up by one of them to mislead the next: these three are what it
		// may change of its own settings (ALTER ROLE ... SET) and what would take effect before anything can be reset.
		params["role"], params["local_preload_libraries"] = "none", ""
		if _, ok := params["search_path"]; !ok {
			params["search_path"] = `"$user", public`
		}
	case role != "":
		params["role"] = role
	}
	if t.Guard {
		// What the guard's lexer relies on, whatever ALTER ROLE or ALTER DATABASE says: RESET leads back to what is sent here.
		params["standard_conforming_strings"] = "on"
		if !sqlscan.SafeEncoding(params["client_encoding"]) || params["client_encoding"] == "" {
			params["client_encoding"] = "UTF8"
		}
	}
	return server.Target{
		Hosts: t.Hosts, Port: t.Port, Database: t.DBName, Login: t.Login, Passwords: t.Passwords,
		SSLMode: t.SSLMode, SSLRootCert: t.SSLRootCert, SSLCert: t.SSLCert, SSLKey: t.SSLKey,
		Params: params, ConnectTimeout: t.Timeouts.ServerConnect, AcceptSuperuser: t.AcceptSuperuser,
	}
}

// dialFailed says to clients what they may know, and the rest to the log.
func (s *Server) dialFailed(key pool.Key, err error) *relay.DialError {
	d := &relay.DialError{Cause: err}
	var e *server.Error
	if errors.As(err, &e) {
		d.Definite, d.Public = e.Definite, e.Public
	}
	incident := ""
	if d.Public == nil {
		incident = pgerr.Incident()
		d.Public = pgerr.Fatal(pgerr.ConnectionFailure, "cannot reach database %q (tier %s); incident %s", key.Database, key.Tier, incident)
	}
	s.log.Warn("server login failed", zap.String("database", key.Database), zap.String("tier", key.Tier),
		zap.String("role", key.Role), zap.Bool("definite", d.Definite), zap.String("incident", incident), zap.Error(err))
	return d
}
