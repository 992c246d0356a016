package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/handover"
)

// template is the only thing that pgconn ever parses; every field of a copy is then overwritten. pgconn takes what its
// connection string does not say from the environment, and with PGSERVICE set it reads a file whatever the string says.
// So that variable is hidden, and this is done while packages are initialised, when nobody else reads the environment.
var template, errTemplate = parseTemplate()

func parseTemplate() (*pgconn.Config, error) {
	const variable = "PGSERVICE"
	if service, set := os.LookupEnv(variable); set {
		_ = os.Unsetenv(variable)
		defer func() { _ = os.Setenv(variable, service) }()
	}
	// An absolute host keeps it from reading ~/.postgresql, a password from reading ~/.pgpass.
	return pgconn.ParseConfig("host=/ port=5432 dbname=x user=x password=x connect_timeout=0 target_session_attrs=any " +
		"sslmode=disable sslcertmode=allow sslnegotiation=postgres sslsni=1 channel_binding=prefer require_auth='' " +
		"min_protocol_version=3.0 max_protocol_version=3.0")
}

// login is one attempt: one address, one kind of encryption, one password or key.
type login struct {
	Target
	at       address
	password string
	key      *scram.PassKey // instead of password; nil without
	tls      *tls.Config
	guard    *guard
}

// run dials, encrypts, logs in and hands the connection over.
func (l *login) run(ctx context.Context, how encryption) (*Conn, *Error) {
	raw, err := dial(ctx, l.at.network, l.at.addr)
	if err != nil {
		return nil, unreachable(err)
	}
	c := &Conn{Net: handover.New(raw), Addr: l.at.reached(raw)}
	c.TLS, err = encrypt(ctx, c.Net, how, l.tls)
	if err != nil {
		_ = c.Net.Close()
		return nil, untrusted(l.at, err)
	}
	if e := l.exchange(ctx, c); e != nil {
		_ = c.Net.Close()
		e.tls = e.tls && (how != tryTLS || c.TLS != nil) // without TLS already: plain would be the same again
		return nil, e
	}
	return c, nil
}

// exchange logs in on c and fills in what the server said.
func (l *login) exchange(ctx context.Context, c *Conn) *Error {
	if errTemplate != nil {
		return misconfigured("pgconn: %w", errTemplate)
	}
	pg, e := l.authenticate(ctx, c)
	if e != nil {
		return e
	}
	if e := l.checkSuperuser(ctx, pg); e != nil {
		_ = pg.Close(ctx)
		return e
	}
	if err := pg.SyncConn(ctx); err != nil {
		return l.refused(c, err)
	}
	hijacked, err := pg.Hijack()
	if err != nil {
		return refused(err, "")
	}
	if hijacked.TxStatus != 'I' || hijacked.Frontend.ReadBufferLen() != 0 {
		return refused(fmt.Errorf("%s: the server was not idle after the login", c.Addr), "")
	}
	c.PID = hijacked.PID
	c.Params = maps.Clone(hijacked.ParameterStatuses)
	c.cancel = CancelTarget{network: l.at.network, addr: c.Addr, pid: hijacked.PID, key: hijacked.SecretKey}
	if c.TLS != nil {
		c.cancel.tls = l.tls
	}
	return nil
}

// authenticate gets the server to let the login in.
func (l *login) authenticate(ctx context.Context, c *Conn) (*pgconn.PgConn, *Error) {
	cfg := l.config(c)
	if l.key != nil {
		pg, other, err := l.passThrough(ctx, c, cfg)
		if err != nil {
			return nil, keyRefused(err, other)
		}
		return pg, nil
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, l.refused(c, err)
	}
	return pg, nil
}

// config overwrites every field of a copy of the template.
func (l *login) config(c *Conn) *pgconn.Config {
	conn := net.Conn(c.Net)
	if c.TLS != nil {
		conn = c.TLS // pgconn binds SCRAM to the channel when it sees a *tls.Conn
	}
	l.guard = nil
	cfg := template.Copy()
	cfg.Host, cfg.Port = l.at.host, l.at.port // for the text of errors only: DialFunc has the connection already
	cfg.Database, cfg.User, cfg.Password = l.Database, l.Login, l.password
	cfg.TLSConfig = nil
	cfg.ConnectTimeout = 0 // the context's deadline
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if conn == nil {
			return nil, errors.New("the connection is gone") // pgconn wants to cancel after an error: there is nothing to cancel
		}
		once := conn
		conn = nil
		return once, nil
	}
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		l.guard = newGuard(r)
		return pgproto3.NewFrontend(l.guard, w)
	}
	cfg.MaxProtocolMessageBodyLen = maxLoginMessage
	cfg.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
	}
	cfg.RuntimeParams = maps.Clone(l.Params)
	cfg.KerberosSrvName, cfg.KerberosSpn = "", ""
	cfg.Fallbacks = nil
	cfg.SSLNegotiation, cfg.SSLCertMode = "postgres", "allow"
	cfg.AfterNetConnect, cfg.ValidateConnect, cfg.AfterConnect = nil, nil, nil
	cfg.OnNotice, cfg.OnNotification = nil, nil
	cfg.OnPgError = func(*pgconn.PgConn, *pgconn.PgError) bool { return false } // any error ends a login
	cfg.OAuthTokenProvider = nil
	cfg.MinProtocolVersion, cfg.MaxProtocolVersion = "3.0", "3.0" // libpq's own default in PostgreSQL 18
	cfg.ChannelBinding = "prefer"
	cfg.RequireAuth = l.methods(c.TLS != nil)
	return cfg
}

// methods returns the authentication methods that the server may ask for, in libpq's words (require_auth). A password
// in clear goes only where nobody listens: not even over loopback, where any process may have taken the port of a
// PostgreSQL that is down.
func (l *login) methods(encrypted bool) string {
	switch {
	case l.password == "":
		return "none"
	case encrypted || l.at.network == "unix":
		return "password,md5,scram-sha-256,none"
	default:
		return "md5,scram-sha-256,none"
	}
}

// refused makes an Error of what pgconn said, with the reasons that it does not know.
func (l *login) refused(c *Conn, err error) *Error {
	switch {
	case l.guard == nil || !l.guard.asked:
		return refused(err, "")
	case l.password == "":
		return &Error{Definite: true, answered: true, Cause: fmt.Errorf(
			"%s (%s): the server asks login %q for a password and none is configured", c.Addr, l.at.host, l.Login)}
	case l.guard.clear && c.TLS == nil && l.at.network != "unix":
		return &Error{Definite: true, answered: true, tls: true, Cause: fmt.Errorf(
			"%s (%s): the server asks for the password in clear, which pgtier does not send without TLS; "+
				"use scram-sha-256 in pg_hba.conf, or sslmode=require", c.Addr, l.at.host)}
	case l.guard.clear:
		return refused(err, l.password)
	}
	return refused(err, "")
}

// superuserQuery asks about the login, whatever role the startup packet set. It is qualified so that no object of the
// database can stand in.
const superuserQuery = `SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) SESSION_USER`

// checkSuperuser refuses a login that PostgreSQL does not confine, unless the configuration accepts that. The server
// reports is_superuser of the role in force, so with a role it has to be asked.
func (l *login) checkSuperuser(ctx context.Context, pg *pgconn.PgConn) *Error {
	if l.AcceptSuperuser {
		return nil
	}
	super := pg.ParameterStatus("is_superuser") == "on"
	if !super && (l.AskSuperuser || l.changesRole() || pg.ParameterStatus("is_superuser") != "off") {
		results, err := pg.Exec(ctx, superuserQuery).ReadAll()
		if err != nil {
			return refused(fmt.Errorf("is the login a superuser: %w", err), "")
		}
		if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
			return refused(errors.New("is the login a superuser: unexpected answer"), "")
		}
		super = string(results[0].Rows[0][0]) != "f"
	}
	if !super {
		return nil
	}
	return &Error{Definite: true, answered: true, Cause: fmt.Errorf("login %q is a superuser, which PostgreSQL does not "+
		"confine to its tier; use another login, or set accept_superuser = true for the tier", l.Login)}
}

// changesRole tells whether the session may run as another role than the login from the start.
func (l *login) changesRole() bool {
	for name := range l.Params {
		switch normalize(name) {
		case "role", "session_authorization", "options":
			return true
		}
	}
	return false
}
