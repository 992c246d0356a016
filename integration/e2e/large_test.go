package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// memory is how many KiB of memory the daemon has ever had at once (proc(5), VmHWM).
func memory(t *testing.T, d *harness.Daemon) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLargeResultsStream: 100 MB go through in many rows, in one row, and in a COPY, while the daemon's memory grows by far
// less. The client reads slower than the server sends.
func TestLargeResultsStream(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	conn := connect(t, d.DSN("alice"))
	wantAnswer(t, conn, "SELECT 1", "1")
	before := memory(t, d)
	const size = 100 << 20
	for _, sql := range []string{
		"SELECT repeat('x', 1048) FROM generate_series(1, 100056)",
		"SELECT repeat('x', 104857600)",
	} {
		if n := readAll(t, conn, sql); n < size-1<<20 {
			t.Errorf("%s: %d bytes", sql, n)
		}
	}
	var count countingWriter
	copyOut := "COPY (SELECT repeat('x', 1048) FROM generate_series(1, 100056)) TO STDOUT"
	if _, err := conn.PgConn().CopyTo(deadline(t), &count, copyOut); err != nil || count < size-1<<20 {
		t.Errorf("COPY: %d bytes, %v", count, err)
	}
	if grown := memory(t, d) - before; grown > 24<<10 {
		t.Errorf("the daemon's memory has grown by %d KiB", grown)
	}
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

func readAll(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	reader := conn.PgConn().Exec(deadline(t), sql)
	for reader.NextResult() {
		for r := reader.ResultReader(); r.NextRow(); {
			n += len(r.Values()[0])
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLargeParameters: frames that no buffer holds, through unnamed and named statements, there and back.
func TestLargeParameters(t *testing.T) {
	d := harness.Spawn(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	wantAnswer(t, connect(t, d.DSN("alice")), "SELECT 1", "1")
	before := memory(t, d)
	blob := bytes.Repeat([]byte("0123456789abcdef"), 40<<20/16)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		conn := connectMode(t, d.DSN("alice"), mode)
		var n int
		var back []byte
		if err := conn.QueryRow(deadline(t), "SELECT length($1::bytea), $1::bytea", blob).Scan(&n, &back); err != nil {
			t.Fatal(err)
		}
		if n != len(blob) || !bytes.Equal(back, blob) {
			t.Errorf("%v: the server got %d bytes and %d came back", mode, n, len(back))
		}
	}
	if grown := memory(t, d) - before; grown > 24<<10 {
		t.Errorf("the daemon's memory has grown by %d KiB", grown)
	}
}

// TestLongTexts: query texts and names far longer than any buffer for them.
func TestLongTexts(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	long := "SELECT 41 + 1 /* " + strings.Repeat("long ", 2<<20) + "*/" // 10 MB
	wantAnswer(t, connect(t, p.DSN("alice")), long, "42")
	psqlFile := p.SocketDir + "/long.sql"
	if err := os.WriteFile(psqlFile, []byte(long+";"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, p.Cluster, "psql", "-XAtq", "-f", psqlFile, p.DSN("alice")).want(t, "42")

	name := strings.Repeat("n", 16<<10)
	for _, sql := range []string{"SELECT 43", "SELECT 43 /* " + strings.Repeat("middling ", 5<<10) + "*/", "SELECT 43 /*" + long[16:]} {
		// Two clients with the same name for different statements, in turn on one server.
		a, b := dialRaw(t, p, "alice", nil), dialRaw(t, p, "ops", nil)
		for _, c := range []*rawClient{a, b} {
			c.send(&pgproto3.Parse{Name: name, Query: sql}, &pgproto3.Sync{})
			if got := c.answers(1); got != "parsed ready:I" {
				t.Fatalf("Parse: %s", got)
			}
		}
		for _, c := range []*rawClient{a, b, a} {
			c.send(&pgproto3.Bind{PreparedStatement: name}, &pgproto3.Describe{ObjectType: 'S', Name: name}, &pgproto3.Execute{}, &pgproto3.Sync{})
			if got := c.answers(1); got != "bound parameters columns row:43 SELECT 1 ready:I" {
				t.Errorf("with a text of %d bytes: %s", len(sql), got)
			}
		}
	}
}

// TestManyStatements: more prepared statements than a server keeps, of several clients, on one server, in random order
// of use; each answer must be its own statement's.
func TestManyStatements(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	clients := []*rawClient{dialRaw(t, p, "alice", nil), dialRaw(t, p, "ops", nil)}
	const statements = 450
	for i, c := range clients {
		for n := range statements {
			c.send(&pgproto3.Parse{Name: fmt.Sprint("s", n), Query: fmt.Sprintf("SELECT %d", n*10+i)}, &pgproto3.Sync{})
			if got := c.answers(1); got != "parsed ready:I" {
				t.Fatalf("Parse: %s", got)
			}
		}
	}
	at := 1
	for range 20 {
		for i, c := range clients {
			var send []pgproto3.FrontendMessage
			var want strings.Builder
			for range 30 {
				at = at * 7919 % 104729 // any order will do, the same in each run
				n := at % statements
				send = append(send, &pgproto3.Bind{PreparedStatement: fmt.Sprint("s", n)}, &pgproto3.Execute{})
				fmt.Fprintf(&want, "bound row:%d SELECT 1 ", n*10+i)
			}
			c.send(append(send, &pgproto3.Sync{})...)
			if got := c.answers(1); got != want.String()+"ready:I" {
				t.Fatalf("got  %s\nwant %sready:I", got, want.String())
			}
		}
	}
}
