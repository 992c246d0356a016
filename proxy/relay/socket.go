package relay

import (
	"crypto/tls"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/pgtier/pgtier/proxy/handover"
)

// socket is one registered descriptor. What is not sent yet waits in nc.Out.
type socket struct {
	loop       *Loop
	nc         *handover.Conn
	tls        *tls.Conn // over nc; nil without TLS
	stash      []byte    // the beginning of a frame whose rest has not arrived; nil for most
	timerAt    int64     // of its entry in the loop's timers; 0 = none
	timers     int       // how many entries it has there, outdated ones included
	generation uint32
	readable   bool // epoll has said so and the socket has not been read empty since
	hup        bool // the peer has closed, or is about to: read until the end
	queued     bool // in the loop's ready list
	closing    bool // nothing is read any more; closed as soon as Out is sent
	closed     bool

	client *Client     // one of the two is set
	server *serverConn //
}

// errGone is the end of a socket that needs no words.
var errGone = errors.New("connection closed by peer")

// recv reads once into b. done says that the socket has been read empty: the next edge will tell. An error is final.
func (s *socket) recv(b []byte) (n int, done bool, err error) {
	if s.tls != nil {
		return s.recvTLS(b)
	}
	n, errno := handover.RecvNonblock(s.nc.FD(), b)
	switch {
	case errno == unix.EAGAIN:
		return 0, true, nil
	case errno != 0:
		return 0, true, errno
	case n == 0:
		return 0, true, errGone
	}
	// A short read means empty, unless a FIN was merged into the same edge: then no further edge will come.
	return n, n < len(b) && !s.hup, nil
}

func (s *socket) recvTLS(b []byte) (n int, done bool, err error) {
	n, err = s.tls.Read(b)
	switch {
	case err == nil:
		return n, false, nil // more may be decrypted already, which no edge would tell
	case err == handover.ErrAgain:
		return n, true, nil
	case err == io.EOF:
		return n, true, errGone
	}
	return n, true, err
}

// send sends b, as far as the socket takes it; the rest waits in Out. b is not kept.
func (s *socket) send(b []byte) error {
	if s.closed || len(b) == 0 && len(s.nc.Out) == 0 {
		return nil
	}
	if s.tls != nil {
		if len(b) > 0 {
			if _, err := s.tls.Write(b); err != nil {
				return err
			}
		}
		return s.flush()
	}
	if len(s.nc.Out) > 0 {
		s.nc.Out = append(s.nc.Out, b...)
		return s.flush()
	}
	for len(b) > 0 {
		n, errno := handover.SendNonblock(s.nc.FD(), b)
		if errno == unix.EAGAIN {
			s.nc.Out = append(s.nc.Out, b...)
			return nil
		}
		if errno != 0 {
			return errno
		}
		b = b[n:]
	}
	return nil
}

// flush sends what waits in Out.
func (s *socket) flush() error {
	out := s.nc.Out
	for len(out) > 0 {
		n, errno := handover.SendNonblock(s.nc.FD(), out)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			return errno
		}
		out = out[n:]
	}
	switch {
	case len(out) == 0 && (s.tls == nil || cap(s.nc.Out) > maxOutKept):
		s.nc.Out = nil // an idle socket holds no buffer
	default:
		s.nc.Out = s.nc.Out[:copy(s.nc.Out, out)]
	}
	return nil
}

const maxOutKept = 16 << 10

// full reports whether the peer has not taken what was sent: the other side is not read until it has. One receive buffer
// and what a step may insert is then all that ever waits.
func (s *socket) full() bool { return len(s.nc.Out) > 0 }

// keep stores what a step left over, to be presented again with what follows it.
func (s *socket) keep(rest []byte) {
	if len(rest) == 0 {
		s.stash = nil
		return
	}
	s.stash = append(s.stash[:0], rest...)
}

// shut closes the socket. What the peer sent and nobody read is read and thrown away first: closing a socket with unread
// bytes sends RST, and the last error would not arrive.
func (s *socket) shut(scratch []byte) {
	if s.closed {
		return
	}
	s.closed, s.readable = true, false
	if s.tls != nil {
		_ = s.tls.CloseWrite()
		_ = s.flush()
	}
	fd := s.nc.FD()
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	for range 4 {
		if n, errno := handover.RecvNonblock(fd, scratch); n <= 0 || errno != 0 {
			break
		}
	}
	_ = s.nc.Close()
	s.stash, s.nc.Out = nil, nil
}
