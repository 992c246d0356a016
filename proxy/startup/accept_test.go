package startup

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// TestRefusals sends bytes as they are and looks at the last thing that comes back.
func TestRefusals(t *testing.T) {
	startup := func(namesAndValues ...string) []byte { return startupPacket(protocol30, namesAndValues...) }
	alice := startup("user", "alice", "database", "EPMT")
	withOptions := func(options string) []byte { return startup("user", "alice", "database", "EPMT", "options", options) }
	with := func(name, value string) []byte { return startup("user", "alice", "database", "EPMT", name, value) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, test := range []struct {
		name, code, message string // code "" = closed without a word
		bytes               []byte
	}{
		{"nothing", "", "", nil},
		{"half a length", "", "", []byte{0, 0}},
		{"length 0", "08P01", "invalid length of startup packet", make([]byte, 4)},
		{"length 7", "08P01", "invalid length", []byte{0, 0, 0, 7, 0, 3, 0}},
		{"HTTP", "08P01", "invalid length", []byte("GET / HTTP/1.1\r\nHost: db\r\n\r\n")},
		{"1 GB", "08P01", "invalid length", []byte{0x40, 0, 0, 0, 0, 3, 0, 0}},
		{"2^32 - 1", "08P01", "invalid length", []byte{0xff, 0xff, 0xff, 0xff}},
		{"too long by one", "08P01", "invalid length", packet(protocol30, strings.Repeat("x", defaultMaxPacket-7))},
		{"promised and not sent", "", "", alice[:len(alice)-5]},
		{"TLS where there is none", "", "", []byte{tlsHandshake, 3, 1, 0, 5, 1, 0, 0, 1, 0}},
		{"protocol 2.0", "0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2", startupPacket(2<<16, "user", "alice")},
		{"protocol 4.0", "0A000", "unsupported frontend protocol 4.0", startupPacket(4<<16, "user", "alice")},
		{"SSLRequest twice", "0A000", "unsupported frontend protocol 1234.5679", join(packet(codeTLS, ""), packet(codeTLS, ""))},
		{"GSSENCRequest twice", "0A000", "unsupported frontend protocol 1234.5680", join(packet(codeGSS, ""), packet(codeGSS, ""))},
		{"SSLRequest with more in it", "08P01", "invalid length", packet(codeTLS, "more")},
		{"short cancel", "", "", packet(codeCancel, "1234")},
		{"long cancel", "", "", packet(codeCancel, strings.Repeat("x", 4+257))},
		{"empty body", "08P01", "expected terminator", packet(protocol30, "")},
		{"no user", "28000", "no PostgreSQL user name specified", startup()},
		{"empty user", "28000", "no PostgreSQL user name specified", startup("user", "")},
		{"only a tier", "28000", "no PostgreSQL user name specified", startup("user", "~rw")},
		{"no terminator", "08P01", "expected terminator", packet(protocol30, "user\x00alice\x00")},
		{"name without a value", "08P01", "expected terminator", packet(protocol30, "user\x00alice\x00x\x00")},
		{"bytes after the terminator", "08P01", "expected terminator", packet(protocol30, "user\x00alice\x00\x00database\x00EPMT\x00\x00")},
		{"user twice", "08P01", `startup parameter "user" is given twice`, startup("user", "alice", "user", "admin")},
		{"parameter twice", "08P01", "given twice", startup("user", "alice", "TimeZone", "UTC", "timezone", "UTC")},
		{"replication", "0A000", "replication connections are not supported", with("replication", "database")},
		{"replication true", "0A000", "replication", with("replication", "true")},
		{"replication nonsense", "0A000", "replication", with("replication", "")},
		{"REPLICATION", "0A000", "replication", with("REPLICATION", "true")},
		{"role", "28000", "permission denied to change role", with("role", "bob")},
		{"Role", "28000", "permission denied to change role", with("Role", "bob")},
		{"session_authorization", "28000", "permission denied to change role", with("session_authorization", "bob")},
		{"SESSION-AUTHORIZATION", "28000", "permission denied to change role", with("SESSION-AUTHORIZATION", "bob")},
		{"role in options", "28000", "permission denied to change role", withOptions("-c role=bob")},
		{"role in options, escaped", "28000", "permission denied to change role", withOptions(`-cr\o\le=bob`)},
		{"ROLE in options, long", "28000", "permission denied to change role", withOptions("--ROLE=bob")},
		{"session-authorization in options", "28000", "permission denied to change role", withOptions("--session-Authorization=bob")},
		{"role among others", "28000", "permission denied to change role", withOptions("-c work_mem=1MB\t-c\nrole=bob")},
		{"replication in options", "0A000", "replication", withOptions("-c replication=1")},
		{"preload", "55P02", "cannot be set through pgtier", withOptions("-c local_preload_libraries=x")},
		{"identity", "55P02", `parameter "pgtier.identity" cannot be changed`, with("pgtier.identity", "bob")},
		{"a name with a quote", "42602", "invalid configuration parameter name", with(`x";drop`, "y")},
		{"a name with a space", "42602", "invalid configuration parameter name", withOptions(`-c role\ =bob`)},
		{"a quoted name", "42602", "invalid configuration parameter name", withOptions(`-c "role"=bob`)},
		{"an empty name", "42602", "invalid configuration parameter name", withOptions("-c =bob")},
		{"-e", "42601", "invalid command-line argument for server process: -e", withOptions("-e")},
		{"-S 1000", "42601", "invalid command-line argument for server process: -S", withOptions("-S 1000")},
		{"a word", "42601", "invalid command-line argument for server process: role=bob", withOptions("role=bob")},
		{"-- and on", "42601", "invalid command-line argument for server process: --", withOptions("-- role=bob")},
		{"-c without", "42601", "invalid command-line argument for server process: -c", withOptions("-c")},
		{"-c without value", "42601", "-c role requires a value", withOptions("-c role")},
		{"-- without value", "42601", "--role requires a value", withOptions("--role")},
		{"query instead of a proof", "08P01", "expected SASL response, got message type 81", join(alice, wire.AppendQuery(nil, "select 1"))},
		{"cleartext password", "08P01", "invalid string in message", join(alice, passwordMessage(10, "secret"))},
		{"cleartext password with its zero", "08P01", "insufficient data left in message", join(alice, passwordMessage(11, "secret\x00"))},
		{"64 KB password", "08P01", "invalid message length", join(alice, passwordMessage(4+65536, strings.Repeat("x", 65536)))},
		{"SASL length 2^32 - 1", "08P01", "invalid message length", join(alice, passwordMessage(0xffffffff, ""))},
		{"SASL length 2^31", "08P01", "invalid message length", join(alice, passwordMessage(0x80000000, ""))},
		{"SASL length 0", "08P01", "invalid message length", join(alice, passwordMessage(0, ""))},
		{"SASL length 3", "08P01", "invalid message length", join(alice, passwordMessage(3, ""))},
		{"SASL empty", "08P01", "invalid string in message", join(alice, passwordMessage(4, ""))},
		{"SASL inner length 2^32 - 2", "08P01", "invalid message format", join(alice, sasl(scram.SHA256, 0xfffffffe, ""))},
		{"SASL inner length -1 with data", "08P01", "invalid message format", join(alice, sasl(scram.SHA256, 0xffffffff, "n,,"))},
		{"SASL inner length 2^31", "08P01", "invalid message format", join(alice, sasl(scram.SHA256, 0x80000000, "n,,"))},
		{"SASL empty message", "08P01", "malformed SCRAM message", join(alice, sasl(scram.SHA256, 0, ""))},
		{"unknown mechanism", "08P01", "invalid SASL authentication mechanism", join(alice, sasl("PLAIN", 3, "n,,"))},
		{"PLUS without TLS", "08P01", "invalid SASL authentication mechanism", join(alice, sasl(scram.SHA256Plus, 3, "n,,"))},
		{"authzid", "0A000", "authorization identity", join(alice, sasl(scram.SHA256, 18, "n,a=root,n=,r=abcd"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, done := begin(t, testConfig(t), "tcp")
			if _, err := conn.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			if test.code == "" {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			checkRefused(t, everything(t, conn), test.code, test.message)
			if o := <-done; o.err == nil || o.client != nil || o.cancel != nil {
				t.Errorf("Accept: %s", describe(o))
			}
		})
	}
}

// sasl makes a SASLInitialResponse with an inner length that may be a lie.
func sasl(mechanism string, length uint32, data string) []byte {
	body := mechanism + "\x00" + string(appendUint32(nil, length)) + data
	return passwordMessage(uint32(4+len(body)), body)
}

// checkRefused looks for exactly one ErrorResponse, FATAL, at the end of what was said.
func checkRefused(t *testing.T, said []byte, code, message string) {
	t.Helper()
	for len(said) > 0 && (said[0] == 'N' || said[0] == 'S') {
		said = said[1:]
	}
	r := strings.NewReader(string(said))
	var last map[byte]string
	for r.Len() > 0 {
		typ, body := frame(t, r)
		if last = nil; typ == wire.ErrorResponse {
			last = errorFields(body)
		}
	}
	if code == "" {
		if len(said) != 0 {
			t.Errorf("said %q", said)
		}
		return
	}
	if last['C'] != code || !strings.Contains(last['M'], message) || last['S'] != "FATAL" {
		t.Errorf("got %q, want %s %q", last, code, message)
	}
}

func TestCancelRequests(t *testing.T) {
	for _, secret := range []string{"1234", strings.Repeat("k", 32), strings.Repeat("k", 256)} {
		conn, done := begin(t, testConfig(t), "tcp")
		if _, err := conn.Write(packet(codeCancel, "\x00\x00\x30\x39"+secret)); err != nil {
			t.Fatal(err)
		}
		o := <-done
		if o.cancel == nil || o.client != nil || o.err != nil || o.cancel.PID != 12345 || string(o.cancel.Secret) != secret || o.cancel.TLS {
			t.Fatal(describe(o))
		}
		if err := o.cancel.Close(); err != nil {
			t.Error(err)
		}
		if said := everything(t, conn); len(said) != 0 {
			t.Errorf("said %q", said)
		}
	}
}

func TestCancelOverTLS(t *testing.T) {
	cfg, ca := tlsConfig(t)
	conn, done := begin(t, cfg, "tcp")
	secure := tls.Client(conn, ca.clientTLS())
	if _, err := secure.Write(packet(codeCancel, "12345678")); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.cancel == nil || !o.cancel.TLS {
		t.Fatal(describe(o))
	}
	if err := o.cancel.Close(); err != nil {
		t.Error(err)
	}
	if _, err := secure.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("not closed cleanly: %v", err)
	}
}

func TestTLSIsRequired(t *testing.T) {
	cfg := testConfig(t)
	cfg.RequireTLS = true
	hello := startupPacket(protocol30, "user", "alice", "database", "EPMT")

	accepted, conn := socketPair(t, "tcp")
	done := beginOn(t, cfg, elsewhere{accepted.(*net.TCPConn)}, conn)
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, everything(t, conn), pgerr.InvalidAuthorization, "connection without TLS refused")
	<-done

	for _, network := range []string{"tcp", "unix"} { // excepted
		conn, _ := begin(t, cfg, network)
		if _, err := conn.Write(hello); err != nil {
			t.Fatal(err)
		}
		if typ, body := frame(t, conn); typ != wire.Authentication || body[3] != authSASL {
			t.Errorf("%s: %c %q", network, typ, body)
		}
	}
}

// TestInjectedBytes: what is there before TLS was never the client's (G10).
func TestInjectedBytes(t *testing.T) {
	cfg, _ := tlsConfig(t)
	conn, done := begin(t, cfg, "tcp")
	injected := startupPacket(protocol30, "user", "mallory", "database", "EPMT")
	if _, err := conn.Write(append(packet(codeTLS, ""), injected...)); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, everything(t, conn), pgerr.ProtocolViolation, "received unencrypted data after SSL request")
	<-done
}

func TestDirectTLSNeedsALPN(t *testing.T) {
	cfg, ca := tlsConfig(t)
	conn, done := begin(t, cfg, "tcp")
	client := ca.clientTLS()
	client.NextProtos = nil
	checkRefused(t, everything(t, tls.Client(conn, client)), pgerr.ProtocolViolation, "without ALPN")
	<-done

	conn, done = begin(t, cfg, "tcp")
	client.NextProtos = []string{"http/1.1"}
	if err := tls.Client(conn, client).Handshake(); err == nil {
		t.Error("HTTP was accepted")
	}
	_ = conn.Close()
	<-done
}

func TestEncryptionAnswers(t *testing.T) {
	withTLS, _ := tlsConfig(t)
	for _, test := range []struct {
		name, network string
		cfg           Config
		code          uint32
		want          byte
	}{
		{"GSS", "tcp", withTLS, codeGSS, 'N'},
		{"TLS", "tcp", withTLS, codeTLS, 'S'},
		{"TLS without a certificate", "tcp", testConfig(t), codeTLS, 'N'},
		{"TLS on a Unix socket", "unix", withTLS, codeTLS, 'N'},
	} {
		conn, _ := begin(t, test.cfg, test.network)
		if _, err := conn.Write(packet(test.code, "")); err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != test.want {
			t.Errorf("%s: %q, %v", test.name, answer, err)
		}
	}
}

func TestNegotiateProtocolVersion(t *testing.T) {
	for _, test := range []struct {
		name    string
		version uint32
		more    []string
		want    string // of the NegotiateProtocolVersion; "" = none
	}{
		{"3.0", protocol30, nil, ""},
		{"3.1", 3<<16 | 1, nil, "\x00\x03\x00\x00\x00\x00\x00\x00"},
		{"3.2", protocol32, nil, ""},
		{"3.3", 3<<16 | 3, nil, "\x00\x03\x00\x02\x00\x00\x00\x00"},
		{"grease", 3<<16 | 9999, []string{"_pq_.test_protocol_negotiation", ""}, "\x00\x03\x00\x02\x00\x00\x00\x01_pq_.test_protocol_negotiation\x00"},
		{"options in 3.0", protocol30, []string{"_pq_.a", "1", "_pq_.b", "2"}, "\x00\x03\x00\x00\x00\x00\x00\x02_pq_.a\x00_pq_.b\x00"},
	} {
		conn, _ := begin(t, testConfig(t), "tcp")
		if _, err := conn.Write(startupPacket(test.version, append([]string{"user", "alice"}, test.more...)...)); err != nil {
			t.Fatal(err)
		}
		typ, body := frame(t, conn)
		if test.want != "" {
			if typ != wire.NegotiateVersion || string(body) != test.want {
				t.Errorf("%s: %c %q", test.name, typ, body)
			}
			typ, body = frame(t, conn)
		}
		if typ != wire.Authentication || string(body) != "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00" {
			t.Errorf("%s: %c %q", test.name, typ, body)
		}
	}
}

// TestSilence: whoever says nothing, or stops in the middle, is closed when the context ends.
func TestSilence(t *testing.T) {
	for _, said := range [][]byte{nil, {0}, packet(codeTLS, ""), startupPacket(protocol30, "user", "alice")} {
		accepted, dialled := socketPair(t, "tcp")
		defer func() { _ = dialled.Close() }()
		if _, err := dialled.Write(said); err != nil {
			t.Fatal(err)
		}
		cfg, _ := tlsConfig(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		client, request, err := New(cfg).Accept(ctx, accepted)
		cancel()
		if client != nil || request != nil || err == nil {
			t.Errorf("after %q: %v %v %v", said, client, request, err)
		}
		if _, err := accepted.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after %q: not closed: %v", said, err)
		}
	}
}

func TestPanicCostsOneLogin(t *testing.T) {
	cfg := testConfig(t)
	cfg.Credentials = nil
	core, logs := observer.New(zap.DebugLevel)
	cfg.Log = zap.New(core)
	conn, done := begin(t, cfg, "tcp")
	if _, err := conn.Write(startupPacket(protocol30, "user", "alice")); err != nil {
		t.Fatal(err)
	}
	if said := everything(t, conn); !strings.Contains(string(said), "internal error; incident ") {
		t.Errorf("said %q", said)
	}
	if o := <-done; o.err == nil {
		t.Error("no error")
	}
	if logs.FilterMessage("panic during login").Len() != 1 {
		t.Error("not logged once")
	}
}
