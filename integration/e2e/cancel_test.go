package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// running waits until PostgreSQL runs a query that contains text, and nothing else of that pool waits for it.
func running(t *testing.T, p *harness.Endpoint, text string) {
	t.Helper()
	conn := superuser(t, p)
	harness.Eventually(t, "running "+text, func() bool {
		return ask(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename LIKE 'epmt-%' AND query LIKE '%"+text+"%'") != "0"
	})
}

func TestCancelRunning(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	for _, params := range [][]string{nil, {"max_protocol_version=3.2"}} {
		conn := connect(t, p.DSN("alice", params...))
		result := make(chan error, 1)
		go func() { result <- execOnly(conn.PgConn(), "SELECT pg_sleep(60)") }()
		running(t, p, "pg_sleep(60)")
		if err := conn.PgConn().CancelRequest(deadline(t)); err != nil {
			t.Fatal(err)
		}
		wantError(t, <-result, "57014", "canceling statement due to user request")
		wantAnswer(t, conn, "SELECT 'alive'", "alive")
	}
}

func execOnly(conn *pgconn.PgConn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// TestCancelInTransaction: the transaction fails, the session and its server go on.
func TestCancelInTransaction(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	conn := connect(t, p.DSN("ingest"))
	exec(t, conn, "BEGIN")
	result := make(chan error, 1)
	go func() { result <- execOnly(conn.PgConn(), "SELECT pg_sleep(61)") }()
	running(t, p, "pg_sleep(61)")
	if err := conn.PgConn().CancelRequest(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-result, "57014")
	if status := conn.PgConn().TxStatus(); status != 'E' {
		t.Errorf("transaction status %c", status)
	}
	exec(t, conn, "ROLLBACK")
	wantAnswer(t, conn, "SELECT 'alive'", "alive")
}

// TestCancelQueued: a query that waits for a server is cancelled without one, and the one that has the server goes on.
func TestCancelQueued(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	holder, waiter := connect(t, p.DSN("alice")), connect(t, p.DSN("alice"))
	wantAnswer(t, waiter, "SELECT 1", "1") // it has been welcomed
	exec(t, holder, "BEGIN")
	for _, sql := range []string{"SELECT 'simple'", "extended"} {
		result := make(chan error, 1)
		go func() {
			if sql == "extended" {
				var s string
				result <- waiter.QueryRow(context.Background(), "SELECT $1::text", "x").Scan(&s)
				return
			}
			result <- execOnly(waiter.PgConn(), sql)
		}()
		// Cancelling is repeated: the first request may arrive before the query, and is ignored then.
		var err error
		harness.Eventually(t, "the cancelled query ends", func() bool {
			_ = waiter.PgConn().CancelRequest(deadline(t))
			select {
			case err = <-result:
				return true
			default:
				return false
			}
		})
		wantError(t, err, "57014")
	}
	wantAnswer(t, holder, "SELECT 'undisturbed'", "undisturbed")
	exec(t, holder, "COMMIT")
	wantAnswer(t, waiter, "SELECT 'alive'", "alive")
}

// TestCancelStorm is guarantee G7: on a pool of one server, a hundred cancel requests for one client never hit another.
func TestCancelStorm(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	target := connect(t, p.DSN("alice"))
	victims := []*pgx.Conn{connect(t, p.DSN("ops")), connect(t, p.DSN("ingest~ro"))}
	storm, done := context.WithCancel(deadline(t))
	var others sync.WaitGroup
	others.Go(func() {
		for storm.Err() == nil {
			err := execOnly(target.PgConn(), "SELECT pg_sleep(0.001)")
			var e *pgconn.PgError
			if err != nil && (!errors.As(err, &e) || e.Code != "57014") {
				t.Errorf("the target: %v", err)
				return
			}
		}
	})
	for i, v := range victims {
		others.Go(func() {
			for n := 0; storm.Err() == nil; n++ {
				if err := execOnly(v.PgConn(), "SELECT pg_sleep(0.001)"); err != nil {
					t.Errorf("victim %d, query %d: %v", i, n, err)
					return
				}
			}
		})
	}
	var requests sync.WaitGroup
	for range 10 {
		requests.Go(func() {
			for range 10 {
				if err := target.PgConn().CancelRequest(storm); err != nil {
					t.Errorf("cancel request: %v", err)
				}
			}
		})
	}
	requests.Wait()
	done()
	others.Wait()
	wantAnswer(t, target, "SELECT 'alive'", "alive")
}

// TestCancelWithWrongKey: a cancel request with another secret, of another length or for nobody is ignored.
func TestCancelWithWrongKey(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	c := dialRaw(t, p, "alice", nil)
	c.send(&pgproto3.Query{String: "SELECT 'done' FROM pg_sleep(0.5)"})
	running(t, p, "pg_sleep(0.5)")
	right := binary.BigEndian.AppendUint32(nil, c.secret)
	for _, k := range []struct {
		pid    uint32
		secret []byte
	}{
		{c.pid, binary.BigEndian.AppendUint32(nil, c.secret+1)}, {c.pid, append(right, 0)}, {c.pid, nil}, {c.pid, right[:3]}, {c.pid + 1, right}, {0, right},
		{c.pid, make([]byte, 256)},
	} {
		sendCancel(t, p.Addr(), k.pid, k.secret)
	}
	if got := c.answers(1); got != "columns row:done SELECT 1 ready:I" {
		t.Errorf("got %s", got)
	}
}

// TestCancelStormOfWrongKeys: thousands of cancel requests with keys of nobody's neither disturb a running query nor the
// log; then the address is not listened to, and another one is.
func TestCancelStormOfWrongKeys(t *testing.T) {
	proxy := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	p := proxy.Endpoint
	c := dialRaw(t, p, "alice", nil)
	ignored := func() int { return proxy.Logs.FilterMessage("cancel requests ignored: too many wrong keys").Len() }
	var storm sync.WaitGroup
	for range 8 {
		storm.Go(func() {
			ctx := deadline(t)
			for ctx.Err() == nil && ignored() == 0 {
				sendCancel(t, p.Addr(), c.pid, binary.BigEndian.AppendUint32(nil, c.secret+1))
			}
		})
	}
	for range 20 {
		c.send(&pgproto3.Query{String: "SELECT 'undisturbed'"})
		if got := c.answers(1); got != "columns row:undisturbed SELECT 1 ready:I" {
			t.Errorf("got %s", got)
		}
	}
	storm.Wait()
	if n := ignored(); n != 1 {
		t.Errorf("%d log lines", n)
	}
	over, err := pgx.Connect(deadline(t), p.DSNFor(url.UserPassword("alice", "alice-demo"), p.EPMT.Database, "host="+p.SocketDir))
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(over)
	result := make(chan error, 1)
	go func() { result <- execOnly(over.PgConn(), "SELECT pg_sleep(62)") }()
	running(t, p, "pg_sleep(62)")
	if err := over.PgConn().CancelRequest(deadline(t)); err != nil { // by the Unix socket
		t.Fatal(err)
	}
	wantError(t, <-result, "57014")
}

// sendCancel sends a cancel request and waits until it has been dealt with: the other side closes.
func sendCancel(t *testing.T, addr string, pid uint32, secret []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, pid)
	if _, err := conn.Write(append(b, secret...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a cancel request was answered with %d bytes, %v", n, err)
	}
}
