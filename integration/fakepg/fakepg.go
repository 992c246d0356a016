// Package fakepg is a PostgreSQL server that says what a script tells it to say: mostly lies, to see what pgtier does with them.
//
// A script is a list of steps that are done in order on each connection: read what the client must have sent, send
// bytes, fall silent, hang up. Steps that behave (Login, ServeQueries) lead to the place where the lie is told; lies.go
// holds a collection of those. The package decodes with its own few lines rather than with pgtier's, so that a mistake
// there does not hide itself.
package fakepg

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Step is one step of a conversation. An error ends the conversation; see Server for which errors fail the test.
type Step func(*Conn) error

// Conn is one connection, as a step sees it.
type Conn struct {
	net.Conn
	Number  int               // of this connection at its server, from 0; cancel requests count too
	Startup map[string]string // parameters of the startup packet, once ExpectStartup has read it

	r      *bufio.Reader
	server *Server
}

// Server is a running fake server. It ends with the test, which fails when a client sent something that the script did not
// expect. A client that hangs up in the middle of a script is fine: that is what lies are meant to bring about.
type Server struct {
	listener net.Listener
	script   func(n int) []Step
	closing  chan struct{}
	wg       sync.WaitGroup

	mu                          sync.Mutex
	conns                       map[*Conn]struct{}
	accepted, startups, cancels int
	errs                        []error
	closed                      bool
}

// Start starts a server on a free port of 127.0.0.1 that runs the script of each connection; n counts them from 0.
func Start(t testing.TB, script func(n int) []Step) *Server {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: l, script: script, closing: make(chan struct{}), conns: map[*Conn]struct{}{}}
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		s.close()
		for _, err := range s.errs {
			t.Errorf("fakepg: %v", err)
		}
	})
	return s
}

// Always is the script that is the same for every connection.
func Always(steps ...Step) func(int) []Step { return func(int) []Step { return steps } }

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Accepted is how many connections have been accepted, cancel requests and refused requests for encryption included.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Startups is how many connections have sent a startup packet that ExpectStartup read.
func (s *Server) Startups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startups
}

// Cancels is how many cancel requests have come.
func (s *Server) Cancels() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancels
}

func (s *Server) close() {
	close(s.closing)
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		c := &Conn{Conn: nc, r: bufio.NewReader(nc), server: s}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		if s.closed {
			nc.Close() // it came while close was at it
		}
		s.mu.Unlock()
		s.wg.Go(func() { s.converse(c) })
	}
}

func (s *Server) converse(c *Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	c.Number = s.accepted
	s.accepted++
	s.mu.Unlock()
	for i, step := range s.script(c.Number) {
		var surprise *surprise
		switch err := step(c); {
		case err == nil:
			continue
		case errors.As(err, &surprise):
			s.mu.Lock()
			s.errs = append(s.errs, fmt.Errorf("connection %d, step %d: %w", c.Number, i, err))
			s.mu.Unlock()
		}
		return
	}
}

// surprise is a client that does not follow the script.
type surprise struct{ what string }

func (s *surprise) Error() string { return s.what }

// unexpected is the error for a frame that the script does not expect. A Terminate is none: it hangs up, in good order.
func unexpected(typ byte, expected string) error {
	if typ == 'X' {
		return errEnd
	}
	return &surprise{fmt.Sprintf("got a frame of type %q, expected %s", typ, expected)}
}

var errEnd = errors.New("the conversation ends here")

// readFrame reads one frame with a type byte.
func (c *Conn) readFrame() (typ byte, body []byte, err error) {
	if typ, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	body, err = c.readBody()
	return typ, body, err
}

// maxBody is far above what a test sends and keeps a wrong length from taking the machine's memory.
const maxBody = 64 << 20

// readBody reads a length, which counts itself, and what follows.
func (c *Conn) readBody() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c.r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(length[:])) - 4
	if n < 0 || n > maxBody {
		return nil, &surprise{fmt.Sprintf("a frame with length %d", n+4)}
	}
	body := make([]byte, n)
	_, err := io.ReadFull(c.r, body)
	return body, err
}
