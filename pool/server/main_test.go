package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgtier/pgtier/integration/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must succeed, however busy the machine is.
const patience = 30 * time.Second

// fakeTarget is a Target for a scripted server.
func fakeTarget(addr string) Target {
	return Target{
		Hosts: []string{addr}, Database: "EPMT", Login: "epmt-rw", Passwords: []string{"secret word"},
		SSLMode: "disable", ConnectTimeout: patience,
	}
}

// mustConnect connects and closes with the test.
func mustConnect(t *testing.T, target Target) *Conn {
	t.Helper()
	c, err := Connect(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// mustFail returns the *Error that Connect gives.
func mustFail(t *testing.T, target Target) *Error {
	t.Helper()
	c, err := Connect(context.Background(), target)
	if err == nil {
		c.Close()
		t.Fatal("connected")
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error", err)
	}
	for _, password := range target.Passwords {
		if password != "" && strings.Contains(e.Error(), password) {
			t.Errorf("the error tells the password: %v", e)
		}
	}
	return e
}

// listen serves each connection with handle, and ends with the test.
func listen(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			handle(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// certificates are files made by one authority.
type certificates struct {
	authority *pgtest.Authority
	dir       string
	ca        string
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	authority, err := pgtest.NewAuthority("pgtier test")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: PostgreSQL runs under another account and must be able to read the authority's certificate.
	dir, err := os.MkdirTemp("", "pgtier-server-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &certificates{authority: authority, dir: dir, ca: filepath.Join(dir, "ca.crt")}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(c.ca, authority.CertPEM, 0o644)); err != nil {
		t.Fatal(err)
	}
	return c
}

// issue writes a certificate and its key.
func (c *certificates) issue(t *testing.T, name string, leaf pgtest.Leaf) (cert, key string) {
	t.Helper()
	certPEM, keyPEM, err := c.authority.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(c.dir, name+".crt"), filepath.Join(c.dir, name+".key")
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o644), os.WriteFile(key, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// pair is issue for a server of the test itself.
func (c *certificates) pair(t *testing.T, name string, leaf pgtest.Leaf) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.issue(t, name, leaf))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
