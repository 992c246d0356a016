package startup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Policy decides what an authenticated identity gets. *auth.Policy is one.
type Policy interface {
	Resolve(identity, database, asked string, from netip.Addr, now time.Time) (*auth.Decision, *pgerr.Error)
}

// Config is what logins depend on. It is not changed any more after New.
type Config struct {
	TLS         *tls.Config // from LoadTLS; nil: TLS is not offered
	RequireTLS  bool        // refuse clients without TLS, except on loopback addresses and Unix sockets
	MaxPacket   int         // the longest startup packet in bytes; 0 means 10 KiB
	Credentials *auth.Credentials
	Policy      Policy
	Console     func(identity, database string, from netip.Addr) auth.ConsoleRight // nil: there is no console
	Throttle    *auth.Throttle                                                     // lives longer than a configuration: it remembers failures
	Log         *zap.Logger
	Now         func() time.Time    // nil means time.Now
	Refuse      func() *pgerr.Error // asked before anybody authenticates: the answer for everybody, as while stopping; nil means never
}

const defaultMaxPacket = 10 << 10

// Acceptor logs clients in. It is made from one configuration and immutable: a reload makes another one, and logins that are
// under way finish by the old rules. Accept may be called from any number of goroutines.
type Acceptor struct{ cfg Config }

// New returns an Acceptor.
func New(cfg Config) *Acceptor {
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = defaultMaxPacket
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.TLS != nil {
		cfg.TLS = rememberServed(cfg.TLS)
	}
	return &Acceptor{cfg: cfg}
}

// Accept logs one client in, on a TCP or Unix connection that was just accepted and whose ownership passes to Accept. Exactly
// one of its results is not nil. The deadline of ctx is the deadline of the whole login; a cancelled ctx ends it at once.
//
// With an error the client has got its answer, when it should get one, the connection is closed, and the log has one line.
// errors.As finds the *pgerr.Error that the client saw, if there was one.
func (a *Acceptor) Accept(ctx context.Context, nc net.Conn) (client *Client, cancel *CancelRequest, err error) {
	l := newLogin(a.cfg, nc)
	release := l.hold(ctx)
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
		if interrupted := release(); err == nil && interrupted {
			err = context.Cause(ctx)
		}
		if err != nil {
			client, cancel = nil, nil
			l.key.Wipe()
			l.refuse(err)
		}
	}()
	request, cancel, err := l.negotiate(ctx)
	if err != nil || cancel != nil {
		return nil, cancel, err
	}
	client, err = l.login(ctx, request)
	return client, nil, err
}

// login takes a client that has said what it wants to the point where it may have it.
func (l *login) login(ctx context.Context, r *request) (*Client, error) {
	if l.cfg.Refuse != nil {
		if e := l.cfg.Refuse(); e != nil {
			return nil, e
		}
	}
	if err := l.checkTransport(); err != nil {
		return nil, err
	}
	parameters, err := collect(r)
	if err != nil {
		return nil, err
	}
	// SplitUser sets the identity also when the rest of the name is wrong, and what is wrong is said only to those who
	// have proven who they are.
	identity, fromUser, wrongUser := auth.SplitUser(r.user)
	if identity == "" {
		return nil, errNoUser()
	}
	l.identity, l.database = identity, r.database
	if l.database == "" {
		l.database = identity
	}
	if r.negotiate {
		l.out = appendNegotiate(l.out, r.protocol, r.unknown)
	}
	who, err := l.authenticate(ctx, identity)
	if err != nil {
		return nil, err
	}
	if wrongUser != nil {
		return nil, wrongUser
	}
	asked, refusal := parameters.tier(fromUser)
	if refusal != nil {
		return nil, refusal.AsFatal()
	}
	right, err := l.console(who, asked)
	if err != nil {
		return nil, err
	}
	var decision *auth.Decision
	if right == auth.NoConsole {
		if decision, err = l.authorise(who, asked); err != nil {
			return nil, err
		}
	}
	if decision == nil || !decision.Tier.LogsInAsRole() {
		l.key.Wipe()
		l.key = nil
	}
	l.out = appendAuthentication(l.out, authOK, nil)
	if err := l.flush(); err != nil {
		return nil, err
	}
	return &Client{
		Conn: l.conn, TLS: l.tls, Addr: l.addr, Protocol: r.protocol,
		Identity: who, Decision: decision, Console: right, ClientKey: l.key, Params: parameters.list,
	}, nil
}

// checkTransport refuses clients that should have used TLS.
func (l *login) checkTransport() error {
	if l.tls != nil || !l.cfg.RequireTLS || !l.addr.IsValid() || l.addr.Addr().IsLoopback() {
		return nil
	}
	return pgerr.Fatal(pgerr.InvalidAuthorization, "connection without TLS refused").
		WithHint("Use sslmode=verify-full, or at least sslmode=require.")
}

// console says whether the client has come for the console and may have it. To who may not, nothing tells that there is one.
func (l *login) console(who auth.Identity, asked string) (auth.ConsoleRight, error) {
	if l.cfg.Console == nil {
		return auth.NoConsole, nil
	}
	right := l.cfg.Console(who.Name, l.database, l.addr.Addr())
	if right != auth.NoConsole && asked != "" {
		return auth.NoConsole, auth.NoConsoleTier(who.Name)
	}
	return right, nil
}

// authorise asks the policy.
func (l *login) authorise(who auth.Identity, asked string) (*auth.Decision, error) {
	decision, refusal := l.cfg.Policy.Resolve(who.Name, l.database, asked, l.addr.Addr(), l.cfg.Now())
	if refusal != nil {
		return nil, refusal.AsFatal()
	}
	return decision, nil
}

// panicError is a bug that a client has found. It costs its login and nothing else.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic during login: %v", e.value) }

// refuse answers, closes and logs.
func (l *login) refuse(err error) {
	var shown *pgerr.Error
	switch {
	case errors.As(err, &shown):
		l.send(shown)
		l.close(true)
	default:
		var bug *panicError
		if errors.As(err, &bug) {
			shown, incident := pgerr.From(err)
			l.send(shown)
			l.cfg.Log.Error("panic during login", append(l.fields(), zap.String("incident", incident),
				zap.Error(err), zap.ByteString("stack", bug.stack))...)
		}
		l.close(false)
	}
	l.logRefusal(shown, err)
}

func (l *login) logRefusal(shown *pgerr.Error, err error) {
	fields := l.fields()
	if shown != nil {
		fields = append(fields, zap.String("sqlstate", shown.Code), zap.String("message", clip(shown.Message)))
		if l.reason != "" {
			fields = append(fields, zap.String("reason", l.reason))
		}
		l.cfg.Log.Info("login refused", fields...)
		return
	}
	level := zap.InfoLevel
	if unremarkable(err) {
		level = zap.DebugLevel
	}
	l.cfg.Log.Log(level, "login not finished", append(fields, zap.Error(err))...)
}

// unremarkable errors are those of port scanners, health checks and clients that come back with a password: not worth a line
// in production. What is left are mostly failed TLS handshakes, which somebody will want to know about.
func unremarkable(err error) bool {
	for _, usual := range []error{io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE,
		context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, usual) {
			return true
		}
	}
	return false
}

// fields says who it was, as far as it is known.
func (l *login) fields() []zap.Field {
	from := "unix"
	if l.addr.IsValid() {
		from = l.addr.String()
	}
	return []zap.Field{zap.String("client", from), zap.String("identity", clip(l.identity)),
		zap.String("database", clip(l.database)), zap.Bool("tls", l.tls != nil)}
}

// clip shortens what a stranger may have made 10 KiB long.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// send queues an error behind what is queued already, and sends all of it if it can.
func (l *login) send(e *pgerr.Error) {
	l.out = e.Append(l.out)
	_ = l.flush() // the client may be gone: there is nobody else to tell
}

// appendNegotiate appends NegotiateProtocolVersion: the version that we will speak and the options that we do not know.
//
//	'v' | int32 length | int32 version | int32 count | { string name \0 } ...
func appendNegotiate(dst []byte, version uint32, unknown []string) []byte {
	dst, at := wire.Begin(dst, wire.NegotiateVersion)
	dst = appendUint32(appendUint32(dst, version), uint32(len(unknown)))
	for _, name := range unknown {
		dst = append(append(dst, name...), 0)
	}
	return wire.End(dst, at)
}
