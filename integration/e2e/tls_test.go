package e2e

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

func TestTLS(t *testing.T) {
	p := harness.Start(t, harness.Options{TLS: true}).Endpoint
	for _, params := range [][]string{
		nil,
		{"sslmode=require"},
		{"sslnegotiation=direct"},
		{"channel_binding=require"},
		{"sslnegotiation=direct", "channel_binding=require"},
		{"channel_binding=disable"},
		{"sslmode=disable"}, // loopback may do without
	} {
		conn := connect(t, p.DSN("alice", params...))
		_, encrypted := conn.PgConn().Conn().(*tls.Conn)
		if want := len(params) == 0 || params[0] != "sslmode=disable"; encrypted != want {
			t.Errorf("%q: TLS is %v", params, encrypted)
		}
		wantAnswer(t, conn, "SELECT current_user", "epmt-ro")
		if n := readAll(t, conn, "SELECT repeat('x', 1000) FROM generate_series(1, 5000)"); n != 5_000_000 {
			t.Errorf("%q: %d bytes came through", params, n)
		}
	}
	for _, params := range [][]string{nil, {"channel_binding=require"}, {"channel_binding=disable"}, {"ssl_min_protocol_version=TLSv1.3"}} {
		psql(t, p, p.DSN("alice", params...), "SELECT current_user").want(t, "epmt-ro")
	}
	_, err := tryConnect(t, p.DSNFor(url.UserPassword("alice", "wrong"), "EPMT", "channel_binding=require"))
	wantError(t, err, "28P01")
}

// TestTLSOnPlainPort: the client is told in its own terms, and nothing is sent in clear.
func TestTLSOnPlainPort(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	if _, err := tryConnect(t, p.DSN("alice", "sslmode=require")); err == nil || !strings.Contains(err.Error(), "refused TLS") {
		t.Errorf("sslmode=require: %v", err)
	}
	if _, err := tryConnect(t, p.DSN("alice", "sslmode=require", "sslnegotiation=direct")); err == nil {
		t.Error("direct TLS worked without a certificate")
	}
	psql(t, p, p.DSN("alice", "sslmode=require"), "SELECT 1").wantFailure(t, "server does not support SSL")
	psql(t, p, p.DSN("alice", "sslmode=prefer"), "SELECT 1").want(t, "1")
}

// TestRequireTLS: a client from elsewhere gets nowhere without TLS. Needs an address that is not loopback.
func TestRequireTLS(t *testing.T) {
	address := outsideAddress(t)
	p := harness.Start(t, harness.Options{TLS: true, Address: address}).Endpoint
	_, err := tryConnect(t, p.DSN("alice", "sslmode=disable"))
	wantError(t, err, "28000", "without TLS", "sslmode=")
	wantAnswer(t, connect(t, p.DSN("alice")), "SELECT 1", "1")
	psql(t, p, p.DSN("alice", "sslmode=disable"), "SELECT 1").wantFailure(t, "without TLS")
	// Before anything was asked of it.
	c := openRaw(t, p)
	c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: map[string]string{"user": "nobody"}})
	if e := until[*pgproto3.ErrorResponse](c); e.Code != "28000" {
		t.Errorf("got %s %s", e.Code, e.Message)
	}
	c.wantEnd()
}

func outsideAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// TestBytesBeforeTLS is guarantee G10: what was sent in clear before the handshake is not taken for what was said in it.
func TestBytesBeforeTLS(t *testing.T) {
	p := harness.Start(t, harness.Options{TLS: true}).Endpoint
	c := openRaw(t, p)
	c.write([]byte{0, 0, 0, 8, 4, 210, 22, 47, 'Q', 0, 0, 0, 5, 0}) // SSLRequest and a Query in one write
	answer := make([]byte, 64)
	n, err := c.conn.Read(answer)
	for n == 1 && answer[0] == 'S' && err == nil {
		n, err = c.conn.Read(answer)
	}
	if err == nil && answer[0] != 'E' && answer[0] != 21 { // an ErrorResponse or a TLS alert are fine
		t.Errorf("answered with %q", answer[:n])
	}
}

// TestClientCertificate: an identity without a password.
func TestClientCertificate(t *testing.T) {
	p := harness.Start(t, harness.Options{TLS: true, ClientCA: true, More: `
		[identities.batch]
		cert = "CN=epmt-batch"
		[[grants]]
		to = "batch"
		database = "EPMT"
		tiers = ["rw"]`}).Endpoint
	mine := clientCertificate(t, p.Authority, "epmt-batch")
	other := clientCertificate(t, p.Authority, "epmt-other")
	stranger, err := pgtest.NewAuthority("stranger")
	if err != nil {
		t.Fatal(err)
	}
	foreign := clientCertificate(t, stranger, "epmt-batch")
	batch := url.User("batch")

	wantAnswer(t, connect(t, p.DSNFor(batch, "EPMT", mine...)), "SELECT current_user", "epmt-rw")
	psql(t, p, p.DSNFor(batch, "EPMT", mine...), "SELECT current_user").want(t, "epmt-rw")
	for _, params := range [][]string{other, nil} {
		_, err := tryConnect(t, p.DSNFor(url.UserPassword("batch", "x"), "EPMT", params...))
		wantError(t, err, "28P01", `password authentication failed for user "batch"`)
	}
	if _, err := tryConnect(t, p.DSNFor(batch, "EPMT", foreign...)); err == nil {
		t.Error("a certificate of a strange authority was accepted")
	}
	// Whoever has a certificate may still log in as somebody with a password.
	wantAnswer(t, connect(t, p.DSN("alice", mine...)), "SELECT current_user", "epmt-ro")
}

// clientCertificate issues one and returns the parameters of a DSN with it.
func clientCertificate(t *testing.T, ca *pgtest.Authority, name string) []string {
	t.Helper()
	cert, key, err := ca.Issue(pgtest.Leaf{CommonName: name})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	params := []string{"sslcert=" + filepath.Join(dir, "crt"), "sslkey=" + filepath.Join(dir, "key")}
	for i, content := range [][]byte{cert, key} {
		_, path, _ := strings.Cut(params[i], "=")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return params
}

// TestPeer: who the operating system says they are, on the Unix socket only.
func TestPeer(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, harness.Options{More: `
		[identities.local]
		peer = "` + me.Username + `"
		[identities.neighbour]
		peer = "somebody-else"
		[[grants]]
		to = "local"
		database = "*"
		tiers = ["rw"]`}).Endpoint
	socket := "host=" + p.SocketDir
	wantAnswer(t, connect(t, p.DSNFor(url.User("local"), "EPMT", socket)), "SELECT current_user", "epmt-rw")
	psql(t, p, p.DSNFor(url.User("local"), "EPMT", socket), "SELECT current_user").want(t, "epmt-rw")
	wantAnswer(t, connect(t, p.DSN("alice", socket)), "SELECT current_user", "epmt-ro")
	for _, dsn := range []string{
		p.DSNFor(url.UserPassword("local", "x"), "EPMT"),
		p.DSNFor(url.UserPassword("neighbour", "x"), "EPMT", socket),
	} {
		_, err := tryConnect(t, dsn)
		wantError(t, err, "28P01")
	}
}

// TestTLSToServer: verified TLS with channel binding between pgtier and PostgreSQL, cancel requests included.
func TestTLSToServer(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{TLS: true})
	p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, Server: `sslmode = "verify-full"
		sslrootcert = "` + cluster.CAFile + `"`}).Endpoint
	conn := connect(t, p.DSN("alice"))
	wantAnswer(t, conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "t")
	if n := readAll(t, conn, "SELECT repeat('x', 1000) FROM generate_series(1, 20000)"); n != 20_000_000 {
		t.Errorf("%d bytes came through", n)
	}
	result := make(chan error, 1)
	go func() { result <- execOnly(conn.PgConn(), "SELECT pg_sleep(62)") }()
	running(t, p, "pg_sleep(62)")
	if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-result, "57014")
	wantAnswer(t, conn, "SELECT 'alive'", "alive")
}
