package e2e

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestGarbageBeforeLogin: whatever arrives, the connection is closed, and somebody who knows how to behave is served.
func TestGarbageBeforeLogin(t *testing.T) {
	p := harness.Start(t, harness.Options{TLS: true, More: "[timeouts]\nlogin = \"2s\""}).Endpoint
	good := connect(t, p.DSN("alice"))
	random := make([]byte, 64<<10)
	_, _ = rand.Read(random)
	garbageBeforeLogin(t, p, random)
	wantAnswer(t, good, "SELECT 'undisturbed'", "undisturbed")
}

func garbageBeforeLogin(t *testing.T, p *harness.Endpoint, random []byte) {
	t.Helper()
	startup := func(length uint32, rest string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, length), rest...)
	}
	var all sync.WaitGroup
	for name, b := range map[string][]byte{
		"HTTP":                     []byte("GET / HTTP/1.1\r\nHost: pgtier\r\n\r\n"),
		"SSH":                      []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"random":                   random,
		"zeros":                    make([]byte, 1000),
		"1 GB packet":              startup(1<<30, "\x00\x03\x00\x00user\x00alice\x00"),
		"negative length":          startup(1<<31, "\x00\x03\x00\x00"),
		"length 3":                 startup(3, "\x00\x03\x00\x00"),
		"length 4":                 startup(4, ""),
		"too long by one":          startup(10<<10+1, "\x00\x03\x00\x00"+strings.Repeat("x", 10<<10)),
		"no user":                  startup(9, "\x00\x03\x00\x00\x00"),
		"unterminated":             startup(16, "\x00\x03\x00\x00user\x00ali"),
		"a name without value":     startup(14, "\x00\x03\x00\x00user\x00"),
		"half a packet":            startup(100, "\x00\x03\x00\x00user"),
		"silence":                  nil,
		"half an SSLRequest":       {0, 0, 0, 8, 4},
		"SSLRequest, then nothing": {0, 0, 0, 8, 4, 210, 22, 47},
		"TLS record of nonsense":   append([]byte{22, 3, 1, 255, 255}, random[:100]...),
		"query before login":       {'Q', 0, 0, 0, 5, 0},
	} {
		// Not t.Parallel, which runs as many as there are cores: most of them wait for the end of the time to log in.
		all.Go(func() {
			conn, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			defer conn.Close()
			if _, err := conn.Write(b); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: %v", name, err)
				return
			}
			wantClosed(t, name, conn)
		})
	}
	all.Wait()
}

// wantClosed reads what is still said, a few hundred bytes at most, to the end of the connection.
func wantClosed(t *testing.T, name string, conn net.Conn) {
	t.Helper()
	said, err := io.ReadAll(io.LimitReader(conn, 10_000))
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || len(said) > 2000 {
		t.Errorf("%s: %d bytes, %v", name, len(said), err)
	}
}

// TestGarbageDuringLogin: SASL messages that are none.
func TestGarbageDuringLogin(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	sasl := func(mechanism string, length uint32, data string) []byte {
		b, _ := (&rawMessage{'p', append(binary.BigEndian.AppendUint32(append([]byte(mechanism), 0), length), data...)}).Encode(nil)
		return b
	}
	for name, b := range map[string][]byte{
		"1 GB header":        {'p', 0x40, 0, 0, 0},
		"length 0xFFFFFFFF":  sasl("SCRAM-SHA-256", 0xFFFFFFFF, "n,,n=,r=x"),
		"length 0x80000000":  sasl("SCRAM-SHA-256", 0x80000000, "n,,n=,r=x"),
		"longer than it is":  sasl("SCRAM-SHA-256", 5000, "n,,n=,r=x"),
		"no mechanism":       sasl("", 9, "n,,n=,r=x"),
		"other mechanism":    sasl("PLAIN", 9, "n,,n=,r=x"),
		"PLUS without TLS":   sasl("SCRAM-SHA-256-PLUS", 24, "p=tls-server-end-point,,n"),
		"no SCRAM":           sasl("SCRAM-SHA-256", 7, "hello, "),
		"nonce of 64 KB":     sasl("SCRAM-SHA-256", 8+64<<10, "n,,n=,r="+strings.Repeat("x", 64<<10)),
		"a query":            {'Q', 0, 0, 0, 5, 0},
		"password in clear":  {'p', 0, 0, 0, 15, 'a', 'l', 'i', 'c', 'e', '-', 'd', 'e', 'm', 'o', 0},
		"length of a header": {'p', 0, 0, 0, 3},
		"unterminated":       {'p', 0, 0, 0, 8, 'S', 'C', 'R', 'A'},
	} {
		t.Run(name, func(t *testing.T) {
			c := openRaw(t, p)
			c.send(&pgproto3.StartupMessage{ProtocolVersion: 3 << 16, Parameters: map[string]string{"user": "alice", "database": "EPMT"}})
			until[*pgproto3.AuthenticationSASL](c)
			if _, err := c.conn.Write(b); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			wantClosed(t, name, c.conn)
		})
	}
	wantAnswer(t, connect(t, p.DSN("alice")), "SELECT 'alive'", "alive")
}

// TestGarbageAfterLogin: the session ends with 08P01 and its server is not harmed.
func TestGarbageAfterLogin(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	for name, b := range map[string][]byte{
		"length 3":             {'Q', 0, 0, 0, 3},
		"length 0":             {'Q', 0, 0, 0, 0},
		"negative length":      {'Q', 0xFF, 0xFF, 0xFF, 0xFF},
		"2 GB":                 {'Q', 0x7F, 0xFF, 0xFF, 0xFF},
		"unknown type":         {'!', 0, 0, 0, 4},
		"type 0":               make([]byte, 100),
		"HTTP":                 []byte("GET / HTTP/1.1\r\n\r\n"),
		"password again":       {'p', 0, 0, 0, 5, 0},
		"a server's message":   {'Z', 0, 0, 0, 5, 'I'},
		"Bind without an end":  append([]byte{'B', 0, 0, 0, 10}, "abcdef"...),
		"Parse without an end": append([]byte{'P', 0, 0, 0, 10}, "abcdef"...),
		"Query without an end": append([]byte{'Q', 0, 0, 0, 10}, "SELECT"...),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, p, "alice", nil)
			c.write(b)
			if e := until[*pgproto3.ErrorResponse](c); e.Code != "08P01" {
				t.Errorf("got %s %s", e.Code, e.Message)
			}
			_ = c.conn.Close()
			wantAnswer(t, connect(t, p.DSN("ops")), "SELECT 'alive'", "alive")
		})
	}
}

// TestHalfMessages: a client that stops in the middle of a frame holds nothing that others need for longer than it lives.
func TestHalfMessages(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"},
		Tiers: map[string]string{"ro": `timeouts = { query = "1s", transaction = "1s" }`}}).Endpoint
	for _, b := range [][]byte{{'Q'}, {'Q', 0, 0, 1, 0}, {'Q', 0, 0, 1, 0, 'S'}, {'Q', 0x3F, 0, 0, 0, 'S', 'E', 'L'}} {
		c := dialRaw(t, p, "alice", nil)
		c.write(b)
		conn := connect(t, p.DSN("ops"))
		wantAnswer(t, conn, "SELECT 'alive'", "alive")
		closeConn(conn)
		_ = c.conn.Close()
	}
}

// TestSlowBytes: one byte at a time is a valid way to write.
func TestSlowBytes(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	c := dialRaw(t, p, "alice", nil)
	var b []byte
	for _, m := range []pgproto3.FrontendMessage{&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Parse{Name: "x", Query: "SELECT 2"},
		&pgproto3.Bind{PreparedStatement: "x"}, &pgproto3.Execute{}, &pgproto3.Sync{}, &pgproto3.Query{String: "SHOW pgtier.tier"}} {
		b, _ = m.Encode(b)
	}
	for i := range b {
		c.write(b[i : i+1])
	}
	if got := c.answers(3); got != "columns row:1 SELECT 1 ready:I parsed bound row:2 SELECT 1 ready:I columns row:ro SELECT 1 ready:I" {
		t.Error(got)
	}
}

// TestThousandsThatNeverLogIn: connections that say nothing, or not enough, cost those who work nothing.
func TestThousandsThatNeverLogIn(t *testing.T) {
	const crowd = 2000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*crowd {
		t.Skipf("%d connections need more descriptors than %d", crowd, limit.Cur)
	}
	d := harness.Spawn(t, harness.Options{})
	good := connect(t, d.DSN("alice"))
	wantAnswer(t, good, "SELECT 1", "1")
	before := memory(t, d)
	for i := range crowd {
		conn, err := net.Dial("tcp", d.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 1 {
			if _, err := conn.Write([]byte{0, 0, 0, 80, 0, 3, 0, 0, 'u', 's', 'e', 'r'}); err != nil {
				t.Fatal(err)
			}
		}
		if i%200 == 0 {
			wantAnswer(t, good, "SELECT 'undisturbed'", "undisturbed")
			wantAnswer(t, connect(t, d.DSN("ops")), "SELECT 'welcome'", "welcome")
		}
	}
	wantAnswer(t, connect(t, d.DSN("ingest")), "SELECT current_user", "epmt-rw")
	if grown := memory(t, d) - before; grown > crowd*32 {
		t.Errorf("%d connections that never log in cost %d KiB", crowd, grown)
	}
	if strings.Contains(d.Log(), "panic") {
		t.Error("there was a panic")
	}
}
