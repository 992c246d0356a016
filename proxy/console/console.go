// Package console is the database that is pgtier itself: operators connect to it with any PostgreSQL client, look (SHOW) and
// act (PAUSE, RESUME, KILL, RELOAD, RECONNECT, SHUTDOWN). docs/console.md has every command and column.
//
// A console session is two goroutines: one reads frames, one answers them. There are few of them, and they may wait. What
// they show and do is the Daemon's; here are the protocol, the commands, and the names of the columns. Who may have a
// console has been decided before (auth.Policy.Console).
//
// The reader goes on while a command runs, up to queued frames: so a client that has gone is noticed, and a PAUSE that waits
// for others is taken back.
package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

const (
	// queued is how many frames are read ahead of the one that is being answered.
	queued = 64
	// maxFrame bounds one message. The longest command is some hundred bytes; with queued it bounds a session's memory.
	maxFrame = 16 << 10
	// writeTime is how long a client may take to take an answer, lastWords how long when it is being ended.
	writeTime = 30 * time.Second
	lastWords = time.Second
	// flushAt is how much is gathered before it is sent although more follows.
	flushAt = 32 << 10
)

// Config is what a session needs. All of it is required.
type Config struct {
	Conn     net.Conn // after AuthenticationOk; it belongs to the session
	Identity string
	Admin    bool   // may use every command; otherwise SHOW only
	PID      uint32 // the cancel key
	Secret   []byte
	AppName  string // what the client calls itself; "" when it does not
	Daemon   Daemon
	Log      *zap.Logger
}

// Session is one client of the console. Cancel and End may be called from any goroutine.
type Session struct {
	cfg    Config
	frames chan frame

	ctx  context.Context // ends with an *ending as its cause
	stop context.CancelCauseFunc
	here context.Context // ends with ctx, or when the client has gone: what commands wait for others with
	gone context.CancelCauseFunc

	mu      sync.Mutex
	running context.CancelCauseFunc // of the command under way; nil when there is none

	// The answering goroutine's.
	out        []byte
	skip       bool // after an error in the extended protocol: everything up to Sync is passed over
	statements map[string]*statement
	portals    map[string]*portal
}

// ending is why a session ends.
type ending struct {
	reason session.Reason
	err    *pgerr.Error // what the client is told; nil when nothing
}

func (e *ending) Error() string { return string(e.reason) }

// New returns a session for Serve.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, frames: make(chan frame, queued), statements: map[string]*statement{}, portals: map[string]*portal{}}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.here, s.gone = context.WithCancelCause(s.ctx)
	return s
}

// Serve welcomes the client and answers it until it leaves or End is called; then the connection is closed. It returns why
// the session ended.
func (s *Session) Serve() session.Reason {
	var reading sync.WaitGroup
	reading.Go(s.read)
	s.welcome()
	for f, ok := s.next(); ok; f, ok = s.next() {
		s.answer(f)
	}
	var e *ending
	if errors.As(context.Cause(s.ctx), &e) && e.err != nil {
		s.out = e.err.AsFatal().Append(s.out)
		_ = s.flush() // the client may have gone: there is nobody else to tell
	}
	_ = s.cfg.Conn.Close()
	reading.Wait()
	return e.reason
}

// End ends the session with e, which the client is told unless it is nil. Only the first call counts.
func (s *Session) End(reason session.Reason, e *pgerr.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(&ending{reason, e})
	_ = s.cfg.Conn.SetWriteDeadline(time.Now().Add(lastWords))
}

var errCancelled = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")

// Cancel acts on a cancel request with the session's key: the command under way, if it waits for something, is given up.
func (s *Session) Cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running(errCancelled)
	}
}

// next returns the next frame; ok is false when the session is over. Before it waits, everything is sent.
func (s *Session) next() (f frame, ok bool) {
	if s.ctx.Err() != nil {
		return f, false
	}
	select {
	case f = <-s.frames:
		return f, true
	default:
	}
	if err := s.flush(); err != nil {
		s.End(session.ReasonClientGone, nil)
		return f, false
	}
	select {
	case f = <-s.frames:
		return f, true
	case <-s.ctx.Done():
		return f, false
	}
}

// flush sends what has been gathered.
func (s *Session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.mu.Lock()
	limit := writeTime
	if s.ctx.Err() != nil {
		limit = lastWords
	}
	_ = s.cfg.Conn.SetWriteDeadline(time.Now().Add(limit))
	s.mu.Unlock()
	_, err := s.cfg.Conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// answer deals with one frame. A panic costs this session and nothing else.
func (s *Session) answer(f frame) {
	defer func() {
		if p := recover(); p != nil {
			incident := pgerr.Incident()
			s.cfg.Log.Error("bug in a session", zap.String("panic", fmt.Sprint(p)), zap.String("incident", incident),
				zap.ByteString("stack", debug.Stack()))
			s.End(session.ReasonBug, pgerr.Fatal(pgerr.InternalError, "internal error; incident %s", incident))
		}
	}()
	s.frame(f)
}

// welcome sends what PostgreSQL sends after AuthenticationOk. The version is one that no client takes for a PostgreSQL whose
// catalogues it could ask.
func (s *Session) welcome() {
	for _, p := range [...][2]string{
		{"application_name", s.cfg.AppName}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"}, {"integer_datetimes", "on"},
		{"is_superuser", "off"}, {"server_encoding", "UTF8"}, {"server_version", serverVersion},
		{"session_authorization", s.cfg.Identity}, {"standard_conforming_strings", "on"}, {"TimeZone", "UTC"},
	} {
		s.out = wire.AppendParameterStatus(s.out, p[0], p[1])
	}
	s.out = wire.AppendBackendKeyData(s.out, s.cfg.PID, s.cfg.Secret)
	s.ready()
}

const serverVersion = "1.0/pgtier"

// ready says that the next request may come, unless none will. There are no transactions here.
func (s *Session) ready() {
	if s.ctx.Err() == nil {
		s.out = wire.AppendReadyForQuery(s.out, wire.Idle)
	}
}
