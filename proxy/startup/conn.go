package startup

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/handover"
)

// login is one client on its way in. It belongs to the goroutine in Accept.
type login struct {
	cfg      Config
	conn     *handover.Conn
	tls      *tls.Conn // nil without TLS
	stream   net.Conn  // tls, or else conn
	addr     netip.AddrPort
	binding  []byte // tls-server-end-point data; nil: not defined
	out      []byte // queued for the client; flush sends it
	identity string // for the log; "" until known
	database string
	key      *scram.ClientKey // what the client has proven to have; nil without SCRAM. Wiped unless it is handed over
	reason   string           // for the log: what the client must not learn
}

func newLogin(cfg Config, nc net.Conn) *login {
	conn := handover.New(nc)
	l := &login{cfg: cfg, conn: conn, stream: conn}
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		l.addr = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) // a listener for IPv4 and IPv6 shows ::ffff:192.0.2.1
	}
	return l
}

// evidence is what the connection shows of its client.
func (l *login) evidence() (shown auth.Evidence) {
	if l.tls != nil {
		// VerifiedChains, not PeerCertificates: only the former have been checked against the CA.
		if chains := l.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
			shown.Leaf = chains[0][0]
		}
	}
	if local, ok := l.conn.NetConn().(*net.UnixConn); ok {
		shown.OSUser, _ = auth.PeerUser(local) // nobody, when it cannot be told
	}
	return shown
}

var longAgo = time.Unix(1, 0)

// hold makes every read and write end when ctx does. The returned function ends that and says whether ctx has ended.
func (l *login) hold(ctx context.Context) (release func() (interrupted bool)) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = l.conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(longAgo) })
	return func() bool { return !stop() }
}

// chunk bounds what is allocated ahead of the bytes that have arrived.
const chunk = 1024

// read reads exactly n bytes and not one more. io.EOF means that there was none.
func (l *login) read(n int) ([]byte, error) {
	b := make([]byte, min(n, chunk))
	for at := 0; ; {
		got, err := io.ReadFull(l.stream, b[at:])
		at += got
		if err != nil {
			if at > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if at == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-at, at))...) // at most doubles
	}
}

// flush sends what is queued.
func (l *login) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.stream.Write(l.out)
	l.out = l.out[:0]
	return err
}

// Bounds of lingering: how long, and how many bytes that nobody will look at.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// close closes the connection. linger is for when something was sent that the client should see: a socket that is closed
// while bytes of the client are unread is reset by the kernel, and the reset can overtake our last words.
func (l *login) close(linger bool) {
	if linger {
		_ = l.conn.SetReadDeadline(time.Now().Add(lingerTime))
		if l.tls != nil {
			_ = l.tls.CloseWrite()
		}
		if half, ok := l.conn.NetConn().(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			drain(l.conn)
		}
	}
	_ = l.conn.Close()
}

// drain reads until the other side closes, or it has been enough.
func drain(r io.Reader) {
	var b [512]byte
	for total := 0; total < lingerBytes; {
		n, err := r.Read(b[:])
		if err != nil {
			return
		}
		total += n
	}
}

// peek waits for the first byte and leaves it where it is.
func (l *login) peek() (first byte, err error) {
	raw, err := rawConn(l.conn.NetConn())
	if err != nil {
		return 0, err
	}
	var n int
	var opErr error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, opErr = recvPeek(int(fd), b[:])
		first = b[0]
		return opErr != unix.EAGAIN
	})
	if err == nil {
		err = opErr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return first, err
}

// pending reports whether bytes have arrived that nobody has read.
func (l *login) pending() (bool, error) {
	raw, err := rawConn(l.conn.NetConn())
	if err != nil {
		return false, err
	}
	var n int
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _ = recvPeek(int(fd), b[:]) // whatever is wrong with the socket, the next read will say so
	})
	return n > 0, err
}

func rawConn(nc net.Conn) (syscall.RawConn, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("startup: not a TCP or Unix connection")
	}
	return sc.SyscallConn()
}

func recvPeek(fd int, b []byte) (n int, err error) {
	for {
		n, _, err = unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

func appendUint32(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }
