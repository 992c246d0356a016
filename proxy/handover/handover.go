// Package handover has the one socket type of pgtier: a net.Conn that starts on Go's netpoller, where logins run in
// blocking goroutines, and is then handed to an event loop.
//
// Before Detach a Conn behaves as the net.Conn it was made of. Detach takes the descriptor away from the netpoller; from
// then on Read is one raw non-blocking recv, which answers ErrAgain when there is nothing to read, and Write only appends
// to the out-buffer that the loop sends. A tls.Conn that was made over a Conn goes on working across Detach: ErrAgain is a
// temporary net.Error, after which crypto/tls resumes in the middle of a record.
//
// A Conn has one owner at a time: the login goroutine before Detach, its loop afterwards. It is not safe for concurrent use.
package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrAgain is what Read returns in loop mode when the socket has nothing to read.
var ErrAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "handover: nothing to read yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// Conn is a TCP or Unix stream socket. The zero value is not usable.
type Conn struct {
	nc net.Conn // nil after Detach
	fd int      // -1 before Detach and after Close
	// Out holds what Write took in loop mode and the loop has not sent yet.
	Out []byte
}

// New wraps a *net.TCPConn or *net.UnixConn, whose ownership passes to the Conn.
func New(nc net.Conn) *Conn { return &Conn{nc: nc, fd: -1} }

// Detached returns a Conn that is in loop mode from the start. It owns fd, a non-blocking stream socket.
func Detached(fd int) *Conn { return &Conn{fd: fd} }

// Detach switches to loop mode and returns the descriptor, which the Conn still owns. The netpoller forgets the socket: its
// descriptor is duplicated and the original closed. On error the Conn is closed.
func (c *Conn) Detach() (fd int, err error) {
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		_ = c.nc.Close()
		return -1, fmt.Errorf("handover: %T has no descriptor", c.nc)
	}
	_ = c.nc.SetDeadline(time.Time{})
	raw, err := sc.SyscallConn()
	if err == nil {
		ctlErr := raw.Control(func(orig uintptr) {
			c.fd, err = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
		})
		err = errors.Join(err, ctlErr)
	}
	_ = c.nc.Close()
	if err != nil {
		c.fd = -1
		return -1, os.NewSyscallError("dup", err)
	}
	c.nc = nil
	return c.fd, nil
}

// FD returns the descriptor in loop mode, -1 otherwise.
func (c *Conn) FD() int { return c.fd }

// Read reads once. In loop mode it never blocks: ErrAgain, io.EOF or the socket's error.
func (c *Conn) Read(b []byte) (int, error) {
	if c.nc != nil {
		return c.nc.Read(b)
	}
	if len(b) == 0 {
		return 0, nil
	}
	n, err := RecvNonblock(c.fd, b)
	switch {
	case err == unix.EAGAIN:
		return 0, ErrAgain
	case err != 0:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes b; in loop mode it appends b to Out and always succeeds.
func (c *Conn) Write(b []byte) (int, error) {
	if c.nc != nil {
		return c.nc.Write(b)
	}
	c.Out = append(c.Out, b...)
	return len(b), nil
}

// Close closes the socket. It may be called more than once.
func (c *Conn) Close() error {
	if c.nc != nil {
		return c.nc.Close()
	}
	if c.fd < 0 {
		return nil
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// NetConn returns the net.Conn before Detach, nil afterwards.
func (c *Conn) NetConn() net.Conn { return c.nc }

// LocalAddr is nil after Detach, as RemoteAddr is.
func (c *Conn) LocalAddr() net.Addr {
	if c.nc == nil {
		return nil
	}
	return c.nc.LocalAddr()
}

// RemoteAddr is the peer's address before Detach.
func (c *Conn) RemoteAddr() net.Addr {
	if c.nc == nil {
		return nil
	}
	return c.nc.RemoteAddr()
}

// SetDeadline has no effect in loop mode: the loop's timers decide there.
func (c *Conn) SetDeadline(t time.Time) error {
	if c.nc == nil {
		return nil
	}
	return c.nc.SetDeadline(t)
}

// SetReadDeadline has no effect in loop mode.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.nc == nil {
		return nil
	}
	return c.nc.SetReadDeadline(t)
}

// SetWriteDeadline has no effect in loop mode.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.nc == nil {
		return nil
	}
	return c.nc.SetWriteDeadline(t)
}
