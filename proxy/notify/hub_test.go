package notify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ear is a listener that writes down what it is told.
type ear struct {
	t    *testing.T
	name string
	said chan string
}

func newEar(t *testing.T, name string) *ear { return &ear{t, name, make(chan string, 100)} }

func (e *ear) Answered(channel string, err *pgerr.Error) {
	if err != nil {
		e.said <- fmt.Sprintf("no %s: %s", channel, err.Code)
		return
	}
	e.said <- "yes " + channel
}

func (e *ear) Heard(frames [][]byte) {
	for _, f := range frames {
		channel, rest, _ := wire.CString(f[wire.HeaderSize+4:])
		payload, _, _ := wire.CString(rest)
		e.said <- string(channel) + " " + string(payload)
	}
}

func (e *ear) Lost() { e.said <- "lost" }

// patience is how long what must happen may take.
const patience = 10 * time.Second

func (e *ear) want(all ...string) {
	e.t.Helper()
	for _, want := range all {
		select {
		case got := <-e.said:
			if got != want {
				e.t.Fatalf("%s was told %q, want %q", e.name, got, want)
			}
		case <-time.After(patience):
			e.t.Fatalf("%s was told nothing, want %q", e.name, want)
		}
	}
}

// world is Hubs whose logins a test answers.
type world struct {
	t     *testing.T
	hubs  *Hubs
	pool  *pool.Pool
	dials chan chan dialled
}

type dialled struct {
	conn net.Conn
	err  *pgerr.Error
}

func newWorld(t *testing.T, o Options) *world {
	w := &world{t: t, pool: &pool.Pool{Key: pool.Key{Database: "EPMT", Tier: "ro"}}, dials: make(chan chan dialled, 1)}
	o.Log = zap.NewNop()
	o.Dial = func(ctx context.Context, _ *pool.Pool) (net.Conn, *pgerr.Error) {
		answer := make(chan dialled)
		w.dials <- answer
		select {
		case d := <-answer:
			return d.conn, d.err
		case <-ctx.Done():
			return nil, pgerr.New(pgerr.ConnectionFailure, "stopped")
		}
	}
	w.hubs = New(o)
	t.Cleanup(w.hubs.Close)
	return w
}

// server answers the next login and returns the server's end.
func (w *world) server() *server {
	w.t.Helper()
	near, far := net.Pipe()
	w.t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(patience))
	w.answer(dialled{conn: near})
	s := &server{t: w.t, conn: far, in: bufio.NewReader(far)}
	s.want("SET application_name TO 'pgtier listener'")
	s.ok()
	return s
}

func (w *world) answer(d dialled) {
	w.t.Helper()
	select {
	case answer := <-w.dials:
		answer <- d
	case <-time.After(patience):
		w.t.Fatal("nobody logs in")
	}
}

// server is the other end of a hub's connection.
type server struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (s *server) read() (typ byte, body string) {
	s.t.Helper()
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(s.in, head); err != nil {
		s.t.Fatal(err)
	}
	_, size, _ := wire.Header(head)
	rest := make([]byte, size-wire.HeaderSize)
	if _, err := io.ReadFull(s.in, rest); err != nil {
		s.t.Fatal(err)
	}
	return head[0], string(rest)
}

func (s *server) want(sql string) {
	s.t.Helper()
	if typ, body := s.read(); typ != wire.Query || body != sql+"\x00" {
		s.t.Fatalf("the server got %q, want %q", body, sql)
	}
}

func (s *server) send(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) ok() {
	s.t.Helper()
	s.send(wire.AppendReadyForQuery(wire.AppendCommandComplete(nil, "SET"), wire.Idle))
}

func TestHubLife(t *testing.T) {
	w := newWorld(t, Options{Linger: time.Millisecond})
	a, b := newEar(t, "a"), newEar(t, "b")
	w.hubs.Subscribe(a, w.pool, "x")
	s := w.server()
	s.want(`LISTEN "x"`)
	s.ok()
	a.want("yes x")
	w.hubs.Subscribe(b, w.pool, "x")
	b.want("yes x")
	big := strings.Repeat("ä", 7999) // more than the first buffer holds
	s.send(append(notification("x", "1"), notification("x", big)...))
	for _, e := range []*ear{a, b} {
		e.want("x 1", "x "+big)
	}
	w.hubs.Leave(a, w.pool)
	w.hubs.Unsubscribe(b, w.pool, "x")
	s.want(`UNLISTEN "x"`)
	s.ok()
	if typ, _ := s.read(); typ != wire.Terminate {
		t.Errorf("got %q, want Terminate", typ)
	}
	// Whoever comes next gets a new one.
	w.hubs.Subscribe(a, w.pool, "y")
	s = w.server()
	s.want(`LISTEN "y"`)
	s.ok()
	a.want("yes y")
}

func TestHubLost(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*world, *server)
	}{
		{"closed", func(_ *world, s *server) { _ = s.conn.Close() }},
		{"FATAL", func(_ *world, s *server) {
			s.send(pgerr.Fatal(pgerr.AdminShutdown, "bye").Append(nil))
			_ = s.conn.Close()
		}},
		{"nonsense", func(_ *world, s *server) { s.send([]byte{'A', 0xff, 0xff, 0xff, 0xff}) }},
		{"what nobody asked for", func(_ *world, s *server) { s.send(wire.AppendEmpty(nil, wire.DataRow)) }},
		{"without a channel", func(_ *world, s *server) { s.send([]byte("A\x00\x00\x00\x09\x00\x00\x00\x07x")) }},
		{"retired", func(w *world, _ *server) { w.hubs.Retire(w.pool); w.hubs.Retire(w.pool) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			a, b := newEar(t, "a"), newEar(t, "b")
			w.hubs.Subscribe(a, w.pool, "x")
			s := w.server()
			s.want(`LISTEN "x"`)
			s.ok()
			a.want("yes x")
			w.hubs.Subscribe(b, w.pool, "y")
			s.want(`LISTEN "y"`)
			c.end(w, s)
			a.want("lost")
			b.want("no y: 08006")
			w.hubs.Subscribe(a, w.pool, "x")
			w.server().want(`LISTEN "x"`)
		})
	}
}

func TestHubLoginFails(t *testing.T) {
	w := newWorld(t, Options{Retry: time.Hour})
	a := newEar(t, "a")
	w.hubs.Subscribe(a, w.pool, "x")
	w.answer(dialled{err: pgerr.Fatal(pgerr.ConnectionFailure, "cannot reach it")})
	a.want("no x: 08001")
	w.hubs.Subscribe(a, w.pool, "y") // in the pause: no other login
	a.want("no y: 08001")

	w = newWorld(t, Options{Retry: time.Nanosecond})
	w.hubs.Subscribe(a, w.pool, "x")
	w.answer(dialled{err: pgerr.Fatal(pgerr.ConnectionFailure, "cannot reach it")})
	a.want("no x: 08001")
	for { // until the pause has ended
		w.hubs.Subscribe(a, w.pool, "x")
		select {
		case answer := <-w.dials:
			near, far := net.Pipe()
			defer far.Close()
			answer <- dialled{conn: near}
			return
		case got := <-a.said:
			if got != "no x: 08001" {
				t.Fatal(got)
			}
		}
	}
}

func TestHubsClose(t *testing.T) {
	w := newWorld(t, Options{})
	a := newEar(t, "a")
	w.hubs.Subscribe(a, w.pool, "x")
	s := w.server()
	s.want(`LISTEN "x"`)
	other := &pool.Pool{Key: pool.Key{Database: "EPMT", Tier: "rw"}}
	w.hubs.Subscribe(a, other, "x") // its login is under way
	if n := w.hubs.Len(); n != 2 {
		t.Errorf("%d hubs, want 2", n)
	}
	w.hubs.Close()
	if n := w.hubs.Len(); n != 0 {
		t.Errorf("%d hubs after Close", n)
	}
	a.want("no x: 08001") // the login
	w.hubs.Subscribe(a, w.pool, "z")
	a.want("no z: 57P03")
}
