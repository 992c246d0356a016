package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"syscall"

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
	posted     bool // bytes of it wait in the loop's engine for the end of the round

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
		return s.sendTLS(b)
	}
	if len(s.nc.Out) > 0 {
		s.nc.Out = append(s.nc.Out, b...)
		return s.flush()
	}
	if s.loop.engine.post(s, b) {
		return nil
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

func (s *socket) sendTLS(b []byte) error {
	first := !s.full()
	if len(b) > 0 {
		if _, err := s.tls.Write(b); err != nil {
			return err
		}
	}
	if first { // else what is written now comes behind what waits
		records := s.nc.Out
		s.nc.Out = nil
		if s.loop.engine.post(s, records) {
			s.nc.Out = records[:0]
			return nil
		}
		s.nc.Out = append(s.nc.Out, records...) // behind what post could not send before
	}
	return s.flush()
}

// sent is called when b, which the engine had taken to send it, has been sent or not: result is how many bytes of it, or
// -errno.
func (s *socket) sent(b []byte, result int32) {
	switch errno := syscall.Errno(-result); {
	case int(result) == len(b):
		return
	case result >= 0:
		b = b[result:]
	case errno != unix.EAGAIN && errno != unix.EINTR:
		s.unsendable(errno)
		return
	}
	s.nc.Out = append(s.nc.Out, b...)
	if err := s.flush(); err != nil { // there may be room again, of which no edge would tell
		s.unsendable(err)
	}
}

// unsendable makes the loop read a socket that takes nothing any more: reading finds out why.
func (s *socket) unsendable(err error) {
	if s.server != nil {
		s.server.failure = err
	}
	s.nc.Out = nil
	s.readable, s.hup = true, true
	s.loop.again(s)
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
	if s.posted {
		s.loop.engine.flush()
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
