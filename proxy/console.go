package proxy

import (
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/startup"
)

// consoleName is the database that console sessions are on, whichever of its names they said.
const consoleName = "pgtier"

var errDraining = pgerr.Fatal(pgerr.AdminShutdown, "terminating connection due to administrator command")

// serveConsole is the life of a console session, in the goroutine of its login. It counts against the limits on clients.
func (s *Server) serveConsole(snap *snapshot, c *startup.Client) {
	c.Decision = &auth.Decision{Identity: c.Identity.Name}
	p := &place{
		id: s.lastID.Add(1), secret: newSecret(c.Protocol), decision: c.Decision, right: c.Console,
		method: c.Identity.Method, addr: c.Addr, since: time.Now().UnixNano(), tls: tlsVersion(c.TLS),
	}
	if refused := s.registry.enter(p, snap.cfg.Limits.PerIdentity); refused != nil {
		s.refuse(c, refused)
		return
	}
	_ = c.Conn.SetDeadline(time.Time{}) // the login's
	var conn net.Conn = c.Conn
	if c.TLS != nil {
		conn = c.TLS
	}
	sess := console.New(console.Config{
		Conn: conn, Identity: c.Identity.Name, Admin: c.Console == auth.Admin, PID: p.pid, Secret: p.secret,
		AppName: parameter(c.Params, "application_name"), Daemon: operator{s}, Log: s.log,
	})
	if d := s.registry.attach(p.pid, nil, sess); d != nil {
		sess.End(d.reason, d.err)
	}
	if s.draining.Load() { // it may have come after those that drain has seen
		sess.End(session.ReasonShutdown, errDraining)
	}
	reason := sess.Serve()
	s.registry.leave(p.pid)
	s.log.Info("console session ended", append(who(c.Decision), zap.Uint64("session", p.id), zap.String("right", c.Console.String()),
		zap.String("client", clientAddress(p.addr)), zap.String("method", p.method), zap.String("reason", string(reason)),
		zap.Duration("lived", time.Since(time.Unix(0, p.since))))...)
}

// parameter returns the last value that the client gave a startup parameter; "" when it gave none.
func parameter(params []startup.Param, name string) (value string) {
	for _, p := range params {
		if p.Name == name {
			value = p.Value
		}
	}
	return value
}

// endConsoles ends every console session.
func (s *Server) endConsoles(reason session.Reason, e *pgerr.Error) {
	for _, p := range s.registry.all() {
		if p.right != auth.NoConsole {
			s.endSession(p.pid, reason, e)
		}
	}
}
