// Package proxy is the daemon: it listens, admits, logs in, hands over to the relay, and stops in order.
//
// The life of a connection, each arrow a value changing hands:
//
//	listener.Accept     net.Conn               one goroutine for each client that logs in, one deadline for the whole login
//	startup.Accept      *startup.Client        authenticated and authorised
//	admit               a place                the limits on clients
//	relay.Adopt         *relay.Client          the goroutine ends; from here on the client is a socket on an event loop
//	console.Serve       *console.Session       or it stays, for a client of the console
//
// What depends on the configuration is one immutable snapshot; a login works with the one it began with.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/relay"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/startup"
)

// Server is one running pgtier.
type Server struct {
	log       *zap.Logger
	snapshot  atomic.Pointer[snapshot]
	throttle  *auth.Throttle
	pools     *pool.Set
	relay     *relay.Group
	registry  *registry
	keys      *keyring
	pauses    *pauses
	stats     *stats
	profiles  *session.Profiles
	texts     *session.Statements
	sequences *session.Sequences
	wrongKeys *wrongKeys
	roles     *session.Roles

	listeners []net.Listener
	logins    sync.WaitGroup // accept loops and logins under way
	inLogin   atomic.Int64   // logins under way, and console sessions, which stay in the goroutine of their login
	draining  atomic.Bool
	lastID    atomic.Uint64
	ctx       context.Context // ends logins
	stop      context.CancelFunc

	asked, cut chan struct{} // closed by Shutdown: to stop, and to stop at once
	askOnce    sync.Once
	cutOnce    sync.Once

	reloading sync.Mutex // held while a configuration is read and put in force
	source    func() (*config.Config, error)
}

// Listen builds a server and opens its listeners; Serve runs it. cfg must be checked. Errors name what could not be opened.
func Listen(cfg *config.Config, log *zap.Logger) (*Server, error) {
	s := &Server{
		log: log, throttle: auth.NewThrottle(), pools: pool.NewSet(),
		registry: newRegistry(), keys: newKeyring(), profiles: session.NewProfiles(), texts: session.NewStatements(), sequences: session.NewSequences(),
		wrongKeys: newWrongKeys(log), stats: newStats(),
		roles: session.NewRoles(), asked: make(chan struct{}), cut: make(chan struct{}),
	}
	s.pauses = newPauses(s)
	s.ctx, s.stop = context.WithCancel(context.Background())
	snap, err := s.newSnapshot(cfg, nil)
	if err != nil {
		return nil, err
	}
	s.snapshot.Store(snap)
	if s.listeners, err = listen(cfg.Listen); err != nil {
		return nil, err
	}
	s.relay, err = relay.New(relay.Options{
		Loops: cfg.Relay.Loops, Engine: cfg.Relay.Engine, Pools: s.pools, Dialer: s, Log: log,
		CancelWait: cfg.Timeouts.CancelWait, Ended: s.ended, Quiet: s.pauses.quiet,
	})
	if err != nil {
		s.closeListeners()
		return nil, err
	}
	s.warm(snap)
	return s, nil
}

// Addrs returns where the server listens.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Serve accepts clients until ctx ends or Shutdown is called, then drains: transactions finish, new clients are refused with 57P03. It returns
// when the last session has ended; when hurry is closed before that, or Shutdown says so, or the configured shutdown timeout passes, the rest
// is ended at once.
func (s *Server) Serve(ctx context.Context, hurry <-chan struct{}) error {
	for _, l := range s.listeners {
		s.logins.Go(func() { s.accept(l) })
	}
	s.log.Info("ready", zap.Strings("addresses", addresses(s.Addrs())), zap.Int("loops", s.relay.Loops()), zap.String("engine", s.relay.Engine()))
	select {
	case <-ctx.Done():
	case <-s.asked:
	}
	err := s.drain(hurry)
	s.closeListeners()
	s.stop()
	s.logins.Wait()
	s.relay.Close()
	s.log.Info("stopped", zap.Error(err))
	return err
}

// ErrCut is returned by Serve when sessions were ended before their transactions had finished.
var ErrCut = errors.New("sessions were ended before they had finished")

func (s *Server) drain(hurry <-chan struct{}) error {
	s.draining.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if t := s.snapshot.Load().cfg.Timeouts.Shutdown; t > 0 {
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	go func() {
		select {
		case <-hurry:
			cancel()
		case <-s.cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.log.Info("draining", zap.Int("sessions", s.relay.Live()))
	s.endConsoles(session.ReasonShutdown, errDraining)
	if err := s.relay.Drain(ctx); err != nil {
		return fmt.Errorf("%w: %d left", ErrCut, s.relay.Live())
	}
	return nil
}

// Shutdown makes Serve drain and return: transactions finish when drain is set, and are cut otherwise. It does not wait.
func (s *Server) Shutdown(drain bool) {
	s.askOnce.Do(func() { close(s.asked) })
	if !drain {
		s.cutOnce.Do(func() { close(s.cut) })
	}
}

// accept hands each new connection to a login goroutine.
func (s *Server) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.logins.Go(func() { s.login(nc) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of descriptors, most likely: those who are here go on, and leaving makes room.
			s.log.Warn("accept failed", zap.Error(err))
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// login is the goroutine of one connecting client.
func (s *Server) login(nc net.Conn) {
	snap := s.snapshot.Load()
	defer s.inLogin.Add(-1)
	if n := s.inLogin.Add(1) + int64(s.relay.Live()); n > int64(snap.cfg.Limits.Connections) {
		refuseRaw(nc, errTooMany)
		return
	}
	ctx := s.ctx
	if t := snap.cfg.Timeouts.Login; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	client, cancelRequest, err := snap.acceptor.Accept(ctx, nc)
	switch {
	case err != nil: // answered and logged
	case cancelRequest != nil:
		s.cancel(cancelRequest)
	case client.Console != auth.NoConsole:
		s.serveConsole(snap, client)
	default:
		s.admit(snap, client)
	}
}

var errTooMany = pgerr.Fatal(pgerr.TooManyConnections, "sorry, too many clients already")

// refuseRaw answers a client that has not said anything yet. What it may have sent is not read.
func refuseRaw(nc net.Conn, e *pgerr.Error) {
	_ = nc.SetDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write(e.Append(nil))
	_ = nc.Close()
}

// cancel acts on a cancel request. Whatever becomes of it, the client is told nothing.
func (s *Server) cancel(r *startup.CancelRequest) {
	defer func() { _ = r.Close() }()
	from, now := r.Addr.Addr(), time.Now()
	if !s.wrongKeys.allows(now, from) {
		return
	}
	switch known, client, console := s.registry.find(r.PID, r.Secret); {
	case !known:
		s.wrongKeys.wrong(now, from)
	case client != nil:
		s.relay.Cancel(client)
	case console != nil:
		console.Cancel()
	}
}
