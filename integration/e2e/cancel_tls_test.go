package e2e

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// The wire between pgtier and PostgreSQL. pg_hba.conf cannot say what a test of it needs: PostgreSQL acts on a cancel request
// before it looks there, so that one in clear works against a server that wants TLS for everything else.

// What a connection begins with.
const (
	inClear   = "a startup packet in clear"
	cancelled = "a cancel request in clear"
	overTLS   = "a TLS handshake"
	gaveUp    = "nothing, after TLS was refused"
)

// wiretap is a relay before a PostgreSQL that notes how each connection begins.
type wiretap struct {
	l         net.Listener
	server    string
	refuseTLS atomic.Bool // of connections that come from now on, in place of the server
	open      sync.WaitGroup

	mu   sync.Mutex
	seen []string
}

func tap(t testing.TB, c *pgtest.Cluster) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{l: l, server: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.Port)))}
	w.open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.open.Go(func() { w.relay(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.open.Wait() // pgtier has closed its connections: its own cleanup came before
	})
	return w
}

func (w *wiretap) port() uint16 { return uint16(w.l.Addr().(*net.TCPAddr).Port) }

// beginnings returns how the connections began, in order.
func (w *wiretap) beginnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

func (w *wiretap) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, what)
}

// relay passes everything on until either side closes.
func (w *wiretap) relay(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		w.note(err.Error())
		return
	}
	defer server.Close()
	first := make([]byte, 8) // int32 length, int32 code
	if _, err := io.ReadFull(client, first); err != nil {
		w.note(err.Error())
		return
	}
	switch code := binary.BigEndian.Uint32(first[4:]); {
	case code == 80877103: // SSLRequest
		if !w.watchTLS(client, server, first) {
			return
		}
	case code == 80877102:
		w.note(cancelled)
		_, _ = server.Write(first)
	default:
		w.note(inClear)
		_, _ = server.Write(first)
	}
	w.open.Go(func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	})
	_, _ = io.Copy(server, client)
}

// watchTLS passes the request for TLS on, or refuses it, and notes what is made of the answer. It reports whether there is
// anything to relay then.
func (w *wiretap) watchTLS(client, server net.Conn, request []byte) bool {
	answer, next := []byte{'N'}, make([]byte, 1)
	if !w.refuseTLS.Load() {
		_, _ = server.Write(request)
		if _, err := io.ReadFull(server, answer); err != nil {
			w.note(err.Error())
			return false
		}
	}
	_, _ = client.Write(answer)
	switch _, err := io.ReadFull(client, next); {
	case err != nil:
		w.note(gaveUp)
		return false
	case next[0] != 22: // of a TLS handshake record, RFC 8446 section 5.1
		w.note("in clear behind a request for TLS")
	default:
		w.note(overTLS)
	}
	_, _ = server.Write(next)
	return true
}

// TestCancelOverTLSToServer: a cancel request goes to PostgreSQL as the connection went whose query it cancels: over TLS when
// that has TLS, and never in clear then.
func TestCancelOverTLSToServer(t *testing.T) {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{TLS: true})
	for _, c := range []struct{ name, server, want string }{
		{"verify-full", "sslmode = \"verify-full\"\nsslrootcert = \"" + cluster.CAFile + `"`, overTLS},
		{"require", `sslmode = "require"`, overTLS},
		{"prefer", `sslmode = "prefer"`, overTLS},
		{"disable", `sslmode = "disable"`, cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := tap(t, cluster)
			p := harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, Port: w.port(), Server: c.server}).Endpoint
			conn := connect(t, p.DSN("alice"))
			wantAnswer(t, conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", map[bool]string{true: "t", false: "f"}[c.want == overTLS])
			result := goOn(func() error { return execOnly(conn.PgConn(), "SELECT pg_sleep(63)") })
			running(t, p, "pg_sleep(63)")
			if c.want == overTLS {
				wantNoCancelInClear(t, w, p, conn)
			}
			before := len(w.beginnings())
			wantError(t, cancelUntil(t, conn, result), "57014")
			got := w.beginnings()[before:]
			if len(got) == 0 || slices.ContainsFunc(got, func(b string) bool { return b != c.want }) {
				t.Errorf("cancel requests were %q, want %s", got, c.want)
			}
			harness.Eventually(t, "the session goes on", func() bool {
				got, err := tryAsk(deadline(t), conn, "SELECT 'alive'")
				return got == "alive" || wantError(t, err, "57014") == nil
			})
		})
	}
}

// wantNoCancelInClear lets the server refuse TLS to a cancel request, which then must not be sent at all.
func wantNoCancelInClear(t *testing.T, w *wiretap, p *harness.Endpoint, conn *pgx.Conn) {
	t.Helper()
	want := append(w.beginnings(), gaveUp)
	w.refuseTLS.Store(true)
	defer w.refuseTLS.Store(false)
	if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a cancel request has failed", func() bool { return slices.Equal(w.beginnings(), want) })
	running(t, p, "pg_sleep(63)")
}

// cancelUntil sends cancel requests until the query has a result: one that comes while pgtier still sends another is no
// further one. As with PostgreSQL itself, the last one may hit the next query of the same connection.
func cancelUntil(t *testing.T, conn *pgx.Conn, result <-chan error) (err error) {
	t.Helper()
	harness.Eventually(t, "the query is cancelled", func() bool {
		if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
			t.Fatal(err)
		}
		select {
		case err = <-result:
			return true
		default:
			return false
		}
	})
	return err
}
