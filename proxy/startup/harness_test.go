package startup

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePolicy knows the database EPMT, on which everybody may have ro and rw.
type fakePolicy struct{}

func (fakePolicy) Resolve(identity, database, asked string, _ netip.Addr, _ time.Time) (*auth.Decision, *pgerr.Error) {
	switch {
	case database != "EPMT":
		return nil, pgerr.New(pgerr.InvalidCatalogName, "database \"%s\" does not exist", database)
	case asked == "admin":
		return nil, pgerr.New(pgerr.InvalidAuthorization, `permission denied: %q may not use tier "admin" on database "EPMT"`, identity)
	case asked == "":
		asked = "ro"
	}
	return &auth.Decision{Identity: identity, Asked: asked, Tier: &config.Tier{Name: asked}}, nil
}

// osUser is who runs the tests; the identity "me" is them.
func osUser(t testing.TB) string {
	t.Helper()
	local, remote := socketPair(t, "unix")
	defer func() { _, _ = local.Close(), remote.Close() }()
	name, err := auth.PeerUser(local.(*net.UnixConn))
	if err != nil {
		t.Skip(err)
	}
	return name
}

func testConfig(t testing.TB) Config {
	t.Helper()
	ids := make(map[string]*config.Identity)
	for _, i := range []*config.Identity{
		{Name: "alice", Passwords: []string{"secret", "newer secret"}},
		{Name: "migrate", Certs: []string{"CN=epmt-migrate"}},
		{Name: "off", Passwords: []string{"secret"}, Disabled: true},
	} {
		ids[i.Name] = i
	}
	c, err := auth.NewCredentials(&config.Config{Identities: ids}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Credentials: c, Policy: fakePolicy{}, Throttle: auth.NewThrottle()}
}

// socketPair returns the two ends of a real connection: accepted, dialled.
func socketPair(t testing.TB, network string) (accepted, dialled net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "s") // t.TempDir can be too long for a socket's name
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		address = filepath.Join(dir, "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if dialled, err = net.Dial(network, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return accepted, dialled
}

// outcome is what Accept returned.
type outcome struct {
	client *Client
	cancel *CancelRequest
	err    error
}

// patience ends tests that hang; nothing waits for it to pass.
const patience = 20 * time.Second

// begin runs Accept on one end of a new connection and returns the other.
func begin(t testing.TB, cfg Config, network string) (net.Conn, <-chan outcome) {
	t.Helper()
	accepted, dialled := socketPair(t, network)
	return dialled, beginOn(t, cfg, accepted, dialled)
}

func beginOn(t testing.TB, cfg Config, accepted, dialled net.Conn) <-chan outcome {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	_ = dialled.SetDeadline(time.Now().Add(patience))
	done := make(chan outcome, 1)
	acceptor := New(cfg)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		var o outcome
		o.client, o.cancel, o.err = acceptor.Accept(ctx, accepted)
		done <- o
	}()
	t.Cleanup(func() {
		stop()
		<-finished
		_, _ = dialled.Close(), accepted.Close()
	})
	return done
}

// packet makes a packet of the time before sessions.
func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// startupPacket makes a StartupMessage of names and values.
func startupPacket(version uint32, namesAndValues ...string) []byte {
	body := ""
	for _, s := range namesAndValues {
		body += s + "\x00"
	}
	return packet(version, body+"\x00")
}

// passwordMessage makes a SASL message with a length that may be a lie.
func passwordMessage(length uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{'p'}, length), body...)
}

// everything reads until the other side closes, and closes. A reset is a close that left bytes of ours unread.
func everything(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: %v", err)
	}
	_ = conn.Close()
	return b
}

// frame reads one frame.
func frame(t testing.TB, conn io.Reader) (typ byte, body []byte) {
	t.Helper()
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatalf("read: %v", err)
	}
	_, size, ok := wire.Header(head)
	if !ok {
		t.Fatalf("header %x", head)
	}
	body = make([]byte, size-wire.HeaderSize)
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatalf("read: %v", err)
	}
	return head[0], body
}

// errorFields reads the fields of an ErrorResponse's body.
func errorFields(body []byte) map[byte]string {
	fields := make(map[byte]string)
	for _, f := range bytes.Split(body, []byte{0}) {
		if len(f) > 0 {
			fields[f[0]] = string(f[1:])
		}
	}
	return fields
}

// authority is a CA of one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	dir         string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, a.certificate, _ = a.issue(t, "test CA", true)
	a.write(t, "ca.crt", "CERTIFICATE", a.certificate.Raw, 0o644)
	return a
}

func (a *authority) issue(t testing.TB, name string, isCA bool) (*ecdsa.PrivateKey, *x509.Certificate, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: isCA, BasicConstraintsValid: true, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.certificate, a.key
	if isCA {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, leaf, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) write(t testing.TB, name, kind string, der []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// files writes a certificate and its key and returns their paths.
func (a *authority) files(t testing.TB, name string) (cert, key string) {
	t.Helper()
	private, leaf, _ := a.issue(t, name, false)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, name+".crt", "CERTIFICATE", leaf.Raw, 0o644), a.write(t, name+".key", "PRIVATE KEY", der, 0o600)
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.crt") }

// tlsConfig is a testConfig with TLS and client certificates.
func tlsConfig(t testing.TB) (Config, *authority) {
	t.Helper()
	a := newAuthority(t)
	cert, key := a.files(t, "server")
	cfg := testConfig(t)
	var err error
	if cfg.TLS, err = LoadTLS(config.Listen{TLSCert: cert, TLSKey: key, TLSClientCA: a.ca()}); err != nil {
		t.Fatal(err)
	}
	return cfg, a
}

// clientTLS trusts a.
func (a *authority) clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{alpn}}
}

// elsewhere makes a connection look as if it came from another machine.
type elsewhere struct{ *net.TCPConn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4242} }

func describe(o outcome) string { return fmt.Sprintf("%+v %+v %v", o.client, o.cancel, o.err) }
