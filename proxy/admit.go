package proxy

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/startup"
)

// protocol32 is the version from which on cancel keys may be longer than four bytes.
const protocol32 = 3<<16 | 2

// admit gives a client that has logged in its place and hands it to the relay.
func (s *Server) admit(snap *snapshot, c *startup.Client) {
	settings := make([]session.Setting, len(c.Params))
	for i, p := range c.Params {
		settings[i] = session.Setting{Name: p.Name, Value: p.Value}
	}
	wanted, refused := session.NewSettings(settings)
	if refused != nil {
		s.refuse(c, refused)
		return
	}
	if refused := session.Unreadable(c.Decision.Tier, wanted); refused != nil {
		s.refuse(c, refused)
		return
	}
	place := &place{
		id: s.lastID.Add(1), secret: newSecret(c.Protocol), decision: c.Decision,
		method: c.Identity.Method, addr: c.Addr, since: time.Now().UnixNano(), tls: tlsVersion(c.TLS),
	}
	s.remember(snap, place, c)
	constant := *place // from enter on others may write to the place itself
	if refused := s.registry.enter(place, snap.cfg.Limits.PerIdentity); refused != nil {
		s.refuse(c, refused)
		return
	}
	own := s.pool(c.Decision.Tier, c.Decision.Role, c.Decision.Identity)
	s.enterKey(place, own, c)
	client, err := s.relay.Adopt(c.Conn, c.TLS, session.Config{
		ID: place.id, PID: place.pid, Secret: place.secret, Decision: c.Decision,
		Pool: own, Startup: wanted, Profiles: s.profiles, Texts: s.texts, Roles: s.roles, Sequences: s.sequences,
	})
	if err != nil {
		s.registry.leave(place.pid)
		s.leaveKey(place)
		s.log.Warn("client not handed over", zap.Error(err))
		return
	}
	if d := s.registry.attach(place.pid, client, nil); d != nil {
		s.relay.Kill(client, d.reason, d.err)
	}
	// A reload meanwhile has not seen this client.
	if now := s.snapshot.Load(); now != snap {
		constant.pid = place.pid
		s.endIfLost(now, constant)
	}
}

// endSession ends a session, whatever it is doing. It reports whether there is one with this pid.
func (s *Server) endSession(pid uint32, reason session.Reason, e *pgerr.Error) bool {
	client, console, ok := s.registry.condemn(pid, &doom{reason, e})
	switch {
	case client != nil:
		s.relay.Kill(client, reason, e)
	case console != nil:
		console.End(reason, e)
	}
	return ok
}

func tlsVersion(c *tls.Conn) uint16 {
	if c == nil {
		return 0
	}
	return c.ConnectionState().Version
}

// refuse answers a client that has logged in but gets no session.
func (s *Server) refuse(c *startup.Client, e *pgerr.Error) {
	c.ClientKey.Wipe()
	frame := e.AsFatal().Append(nil)
	if c.TLS != nil {
		_, _ = c.TLS.Write(frame)
		_ = c.TLS.Close()
	} else {
		_, _ = c.Conn.Write(frame)
		_ = c.Conn.Close()
	}
	s.log.Info("session refused", append(who(c.Decision), zap.String("sqlstate", e.Code), zap.String("error", e.Message))...)
}

// newSecret returns the secret half of a cancel key.
func newSecret(protocol uint32) []byte {
	n := 4
	if protocol >= protocol32 {
		n = 32
	}
	secret := make([]byte, n)
	_, _ = rand.Read(secret) // never fails since Go 1.24
	return secret
}

func newPID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])&0x7fffffff | 1 // positive and not 0: some drivers read it as a signed number
}

// ended is called on the session's loop when it has ended: one line in the log.
func (s *Server) ended(sess *session.Session, end *relay.End) {
	p := s.registry.leave(sess.PID)
	if p == nil {
		return
	}
	s.stats.ended(sess)
	s.leaveKey(p)
	how := sess.Ended()
	fields := append(who(sess.Decision),
		zap.Uint64("session", sess.ID), zap.String("client", clientAddress(p.addr)), zap.String("method", p.method),
		zap.String("reason", string(how.Reason)), zap.Uint32("server_pid", sess.Counts.ServerPID),
		zap.Duration("lived", time.Duration(end.Now-sess.Counts.Started)),
		zap.Duration("waited", time.Duration(sess.Counts.WaitedNanos)),
		zap.Uint64("transactions", sess.Counts.Transactions),
		zap.Uint64("client_bytes", sess.Counts.ClientBytes), zap.Uint64("server_bytes", sess.Counts.ServerBytes))
	if how.Error != nil {
		fields = append(fields, zap.String("sqlstate", how.Error.Code), zap.String("error", how.Error.Message))
	}
	if how.Detail != "" {
		fields = append(fields, zap.String("detail", how.Detail))
	}
	s.log.Info("session ended", fields...)
}

// who are the fields that say who had what.
func who(d *auth.Decision) []zap.Field {
	if d.Tier == nil {
		return []zap.Field{zap.String("identity", d.Identity), zap.String("database", consoleName)}
	}
	role := d.Role
	if role == "" {
		role = d.Login()
	}
	return []zap.Field{
		zap.String("identity", d.Identity), zap.String("database", d.Tier.Database.Name), zap.String("tier", d.Tier.Name),
		zap.String("login", d.Login()), zap.String("role", role),
	}
}

func clientAddress(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix"
	}
	return a.String()
}

func tooManySessions(identity string, n int, what string) *pgerr.Error {
	return pgerr.Fatal(pgerr.TooManyConnections, "too many connections for %q", identity).
		WithHint("%s", fmt.Sprintf("The limit is %d (%s).", n, what))
}
