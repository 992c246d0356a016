package server

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const defaultPort = 5432

// A server that has gone without a word (power, cable, firewall) is noticed within a minute: 30 s of silence, then
// probes; and data that it never acknowledges counts as much.
const silence = 60 * time.Second

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// address is one place where PostgreSQL may listen.
type address struct {
	network string // "tcp" or "unix"
	addr    string // as net.Dial takes it
	host    string // as configured, without port: what a certificate must name
	port    uint16
}

// parseAddress splits "host", "host:port", "[v6]:port", "v6" or a socket directory. port is for those without one.
func parseAddress(s string, port uint16) (address, bool) {
	if port == 0 {
		port = defaultPort
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "@") {
		return address{"unix", filepath.Join(s, ".s.PGSQL."+strconv.Itoa(int(port))), s, port}, true
	}
	host := s
	switch {
	case isIPv6(s):
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		host = s[1 : len(s)-1]
	case strings.Contains(s, ":"):
		h, p, err := net.SplitHostPort(s)
		if err != nil {
			return address{}, false
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return address{}, false
		}
		host, port = h, uint16(n)
	}
	if host == "" || strings.ContainsAny(host, "[]") || strings.Contains(host, ":") && !isIPv6(host) {
		return address{}, false
	}
	return address{"tcp", net.JoinHostPort(host, strconv.Itoa(int(port))), host, port}, true
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}

// dial connects. Names are resolved here, each address gets its share of the context's time (net.Dialer), and
// TCP_NODELAY is Go's default.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: setUserTimeout}
	return d.DialContext(ctx, network, addr)
}

// setUserTimeout sets TCP_USER_TIMEOUT (RFC 5482) before the connection is made. Where it cannot be set it is missing:
// that is no reason to refuse the connection.
func setUserTimeout(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence/time.Millisecond))
	})
}

// reached returns where c leads: the address behind a name, so that a cancel request goes to the same server.
func (a address) reached(c net.Conn) string {
	if a.network == "unix" {
		return a.addr // RemoteAddr would be the server's own idea of the path, often a relative one
	}
	return c.RemoteAddr().String()
}
