package handover

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns both ends of a connected Unix stream socket: one to be handed over, one for the test.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		ends[i], err = net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := New(ends[0])
	t.Cleanup(func() { _, _ = c.Close(), ends[1].Close() })
	return c, ends[1]
}

func detach(t *testing.T, c *Conn) int {
	t.Helper()
	fd, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestBeforeDetach(t *testing.T) {
	c, peer := pair(t)
	if c.FD() != -1 || c.NetConn() == nil || c.LocalAddr() == nil || c.RemoteAddr() == nil {
		t.Errorf("fd %d, conn %v, from %v to %v", c.FD(), c.NetConn(), c.LocalAddr(), c.RemoteAddr())
	}
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if _, err := c.Write([]byte("you")); err != nil || len(c.Out) != 0 {
		t.Errorf("%v; %q waits", err, c.Out)
	}
	if n, err := io.ReadAtLeast(peer, b, 3); err != nil || string(b[:n]) != "you" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestAfterDetach(t *testing.T) {
	c, peer := pair(t)
	_ = c.SetDeadline(time.Unix(1, 0)) // of the login: it does not follow
	fd := detach(t, c)
	if c.FD() != fd || c.NetConn() != nil || c.LocalAddr() != nil || c.RemoteAddr() != nil || c.SetDeadline(time.Unix(1, 0)) != nil {
		t.Errorf("fd %d, conn %v", c.FD(), c.NetConn())
	}
	b := make([]byte, 10)
	if n, err := c.Read(b); n != 0 || err != ErrAgain {
		t.Errorf("an empty socket: %d, %v", n, err)
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing to read into: %d, %v", n, err)
	}
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b[:2]); err != nil || string(b[:n]) != "he" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if n, err := c.Read(b); err != nil || string(b[:n]) != "llo" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if n, err := c.Write([]byte("wait")); n != 4 || err != nil || string(c.Out) != "wait" {
		t.Errorf("%d, %v; %q waits", n, err, c.Out)
	}
	if n, errno := SendNonblock(fd, c.Out); n != 4 || errno != 0 {
		t.Errorf("%d, %v", n, errno)
	}
	if n, err := io.ReadAtLeast(peer, b, 4); err != nil || string(b[:n]) != "wait" {
		t.Errorf("%q, %v", b[:n], err)
	}
	_ = peer.Close()
	if _, err := c.Read(b); err != io.EOF {
		t.Error(err)
	}
	if _, errno := SendNonblock(fd, b); errno != unix.EPIPE {
		t.Errorf("sending to nobody: %v", errno)
	}
}

func TestClose(t *testing.T) {
	c, peer := pair(t)
	fd := detach(t, c)
	if err := c.Close(); err != nil || c.FD() != -1 {
		t.Errorf("%v, fd %d", err, c.FD())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is still there: %v", err)
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}

func TestDetachOfWhatHasNoDescriptor(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = b.Close() }()
	if _, err := New(a).Detach(); err == nil {
		t.Error("no error")
	}
	if _, err := a.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("it is not closed: %v", err)
	}
}

func TestErrAgain(t *testing.T) {
	//lint:ignore SA1019 crypto/tls asks for it
	if !ErrAgain.Timeout() || !ErrAgain.Temporary() || ErrAgain.Error() == "" {
		t.Error("crypto/tls would not go on after it")
	}
}

// TestTLS hands a TLS connection over in the middle of its life. The records arrive cut at every byte, and each read that
// finds half of one must leave the connection able to go on.
func TestTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, role := range []string{"server", "client"} {
			t.Run(tls.VersionName(version)+" as "+role, func(t *testing.T) { testTLS(t, version, role == "server") })
		}
	}
}

func testTLS(t *testing.T, version uint16, asServer bool) {
	c, peerSocket := pair(t)
	peerOut := &buffered{Conn: peerSocket}
	server := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: version, MaxVersion: version}
	client := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
	ours, peer := tls.Server(c, server), tls.Client(peerOut, client)
	if !asServer {
		ours, peer = tls.Client(c, client), tls.Server(peerOut, server)
	}
	shaken := make(chan error, 1)
	go func() { shaken <- peer.Handshake() }()
	if err := ours.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	fd := detach(t, c)

	// Towards us: three messages in their records, byte by byte. Whatever tickets the handshake left come first.
	peerOut.hold = true
	var want []byte
	for _, m := range []string{"first", "second, which is longer", "third"} {
		want = append(want, m...)
		if _, err := peer.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	read := func() {
		b := make([]byte, 7)
		for {
			n, err := ours.Read(b)
			got = append(got, b[:n]...)
			if err == ErrAgain {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	for i := range peerOut.held {
		if _, err := peerSocket.Write(peerOut.held[i : i+1]); err != nil {
			t.Fatal(err)
		}
		read()
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// From us: it waits until it is sent, and is sent piecemeal.
	if _, err := ours.Write(want); err != nil {
		t.Fatal(err)
	}
	for _, b := range c.Out {
		if n, errno := SendNonblock(fd, []byte{b}); n != 1 || errno != syscall.Errno(0) {
			t.Fatalf("%d, %v", n, errno)
		}
	}
	back := make([]byte, len(want))
	if _, err := io.ReadFull(peer, back); err != nil || !bytes.Equal(back, want) {
		t.Errorf("got %q, %v", back, err)
	}

	// The end, said properly.
	peerOut.held = nil
	_ = peer.CloseWrite()
	_ = peerSocket.SetWriteDeadline(time.Time{}) // crypto/tls allows nothing behind it
	if _, err := peerSocket.Write(peerOut.held); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}

// buffered keeps what is written while hold is set.
type buffered struct {
	net.Conn
	hold bool
	held []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	if !b.hold {
		return b.Conn.Write(p)
	}
	b.held = append(b.held, p...)
	return len(p), nil
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestNoAllocations(t *testing.T) {
	c, peer := pair(t)
	fd := detach(t, c)
	b := make([]byte, 64)
	raw, err := peer.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(other uintptr) {
		if n := testing.AllocsPerRun(100, func() {
			_, _ = SendNonblock(int(other), b[:5])
			_, _ = RecvNonblock(fd, b)
			_, _ = c.Read(b)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
