package server

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/fakepg"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// welcome is everything that a server without authentication says.
func welcome() []byte {
	return append(append(fakepg.Encode(&pgproto3.AuthenticationOk{}), fakepg.Settings()...),
		fakepg.Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})...)
}

// readPacket reads a packet without type byte and returns its code.
func readPacket(c net.Conn) (code uint32, ok bool) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, false
	}
	rest := int64(binary.BigEndian.Uint32(head[:])) - 8
	_, err := io.CopyN(io.Discard, c, rest)
	return binary.BigEndian.Uint32(head[4:]), err == nil
}

const askForTLS = 80877103

// tlsServer speaks TLS when config is not nil and refuses it otherwise. onPlain and onTLS answer a startup packet.
func tlsServer(t *testing.T, config *tls.Config, onPlain, onTLS []byte) (addr string) {
	t.Helper()
	return listen(t, func(c net.Conn) {
		code, ok := readPacket(c)
		answer := onPlain
		if ok && code == askForTLS {
			if config == nil {
				_, _ = c.Write([]byte("N"))
			} else {
				_, _ = c.Write([]byte("S"))
				c, answer = tls.Server(c, config), onTLS
			}
			_, ok = readPacket(c)
		}
		if ok {
			_, _ = c.Write(answer)
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// TestModes holds each sslmode against servers with and without TLS, with certificates that fit and that do not.
func TestModes(t *testing.T) {
	certs := newCertificates(t)
	other := newCertificates(t)
	config := func(c *certificates, leaf pgtest.Leaf) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c.pair(t, "server", leaf)}}
	}
	local := pgtest.Leaf{CommonName: "db", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	refusal := fakepg.Encode(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000", Message: "no pg_hba.conf entry"})
	servers := map[string]string{
		"plain":     tlsServer(t, nil, welcome(), nil),
		"good":      tlsServer(t, config(certs, local), welcome(), welcome()),
		"other CA":  tlsServer(t, config(other, local), welcome(), welcome()),
		"misnamed":  tlsServer(t, config(certs, pgtest.Leaf{CommonName: "db", DNS: []string{"elsewhere"}}), welcome(), welcome()),
		"expired":   tlsServer(t, config(certs, pgtest.Leaf{CommonName: "db", IPs: local.IPs, Expired: true}), welcome(), welcome()),
		"only TLS":  tlsServer(t, config(certs, local), refusal, welcome()),
		"never TLS": tlsServer(t, config(certs, local), welcome(), refusal),
	}
	const fails = "fails"
	for _, test := range []struct{ mode, root, server, want string }{
		{"disable", "", "good", "plain"}, {"disable", "", "only TLS", fails},
		{"allow", "", "good", "plain"}, {"allow", "", "only TLS", "tls"}, {"allow", "", "plain", "plain"},
		{"", "", "good", "tls"}, {"prefer", "", "good", "tls"}, {"prefer", "", "plain", "plain"}, {"prefer", "", "other CA", "tls"},
		{"prefer", "", "never TLS", "plain"}, {"prefer", "", "only TLS", "tls"},
		{"require", "", "plain", fails}, {"require", "", "other CA", "tls"}, {"require", "", "never TLS", fails},
		{"require", "ca", "other CA", fails}, {"require", "ca", "misnamed", "tls"},
		{"verify-ca", "ca", "good", "tls"}, {"verify-ca", "ca", "misnamed", "tls"}, {"verify-ca", "ca", "other CA", fails},
		{"verify-ca", "ca", "expired", fails}, {"verify-ca", "", "good", fails}, {"verify-ca", "system", "good", fails},
		{"verify-full", "ca", "good", "tls"}, {"verify-full", "ca", "misnamed", fails}, {"verify-full", "ca", "other CA", fails},
		{"verify-full", "ca", "expired", fails}, {"verify-full", "ca", "plain", fails}, {"verify-full", "system", "good", fails},
		{"verify-full", "", "good", fails}, {"verify-full", "missing", "good", fails},
		{"require", "system", "good", fails}, {"prefer", "system", "good", fails}, {"Require", "", "good", fails},
	} {
		t.Run(test.mode+" "+test.root+" on "+test.server, func(t *testing.T) {
			target := fakeTarget(servers[test.server])
			target.SSLMode, target.SSLRootCert = test.mode, test.root
			switch test.root {
			case "ca":
				target.SSLRootCert = certs.ca
			case "missing":
				target.SSLRootCert = "/nonexistent"
			}
			if test.want == fails {
				if e := mustFail(t, target); !e.Definite {
					t.Errorf("not definite: %v", e)
				}
				return
			}
			if c := mustConnect(t, target); (c.TLS != nil) != (test.want == "tls") {
				t.Errorf("TLS %v, want %s", c.TLS != nil, test.want)
			}
		})
	}
}

// TestInjectedBeforeTLS: bytes that were sent behind the answer in clear are never taken for the server's (CVE-2021-23222).
func TestInjectedBeforeTLS(t *testing.T) {
	pair := newCertificates(t).pair(t, "server", pgtest.Leaf{CommonName: "db", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	addr := listen(t, func(c net.Conn) {
		if _, ok := readPacket(c); ok {
			_, _ = c.Write(append([]byte("S"), welcome()...))
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
		}
	})
	target := fakeTarget(addr)
	target.SSLMode = "require"
	mustFail(t, target)
}

// TestOddAnswers to the request for TLS.
func TestOddAnswers(t *testing.T) {
	for _, answer := range []string{"", "E\x00\x00\x00\x10SFATAL\x00\x00", "X", "HTTP/1.1 400", "S", "Sgarbage garbage garbage"} {
		t.Run(answer, func(t *testing.T) {
			addr := listen(t, func(c net.Conn) {
				if _, ok := readPacket(c); ok {
					_, _ = io.WriteString(c, answer)
				}
			})
			target := fakeTarget(addr)
			target.SSLMode = "require"
			if e := mustFail(t, target); strings.Contains(e.Error(), "FATAL") {
				t.Errorf("an unauthenticated error is shown: %v", e)
			}
		})
	}
}

// TestSilentHandshake ends with the connect timeout at each place.
func TestSilentHandshake(t *testing.T) {
	for _, answer := range []string{"", "S", "S\x16\x03\x03"} {
		t.Run(answer, func(t *testing.T) {
			addr := listen(t, func(c net.Conn) {
				_, _ = readPacket(c)
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, c)
			})
			target := fakeTarget(addr)
			target.SSLMode, target.ConnectTimeout = "require", 100*time.Millisecond
			if e := mustFail(t, target); e.Definite {
				t.Errorf("a timeout is definite: %v", e)
			}
		})
	}
}

// TestNoCleartext: a password goes in clear over TLS and Unix sockets only.
func TestNoCleartext(t *testing.T) {
	pair := newCertificates(t).pair(t, "server", pgtest.Leaf{CommonName: "db", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	ask := fakepg.Frame('R', "\x00\x00\x00\x03")
	got := make(chan string, 1)
	addr := listen(t, func(c net.Conn) {
		code, _ := readPacket(c)
		if code == askForTLS {
			_, _ = c.Write([]byte("S"))
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
			_, _ = readPacket(c)
		}
		_, _ = c.Write(ask)
		b := make([]byte, 100)
		n, _ := c.Read(b)
		got <- string(b[:n])
		_, _ = c.Write(welcome())
		_, _ = io.Copy(io.Discard, c)
	})
	target := fakeTarget(addr)
	e := mustFail(t, target)
	if sent := <-got; strings.Contains(sent, "secret word") || !e.Definite || !strings.Contains(e.Error(), "in clear") {
		t.Errorf("sent %q; %v", sent, e)
	}
	target.SSLMode = "require"
	mustConnect(t, target)
	if sent := <-got; !strings.Contains(sent, "secret word") {
		t.Errorf("over TLS, sent %q", sent)
	}
}

func listenUnix(t *testing.T, path string, answers ...[]byte) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		b := make([]byte, 1000)
		for _, answer := range answers {
			_, _ = c.Read(b)
			_, _ = c.Write(answer)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}
