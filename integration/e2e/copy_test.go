package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"
	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// copyTable makes a table for a test, which goes with it.
func copyTable(t *testing.T, p *harness.Endpoint) {
	t.Helper()
	admin := connect(t, p.DSN("migrate"))
	exec(t, admin, "DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int PRIMARY KEY, words text)")
	t.Cleanup(func() { exec(t, connect(t, p.DSN("migrate")), "DROP TABLE copied") })
}

func TestCopyWithPgx(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	copyTable(t, p)
	conn, other := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	const rows = 20_000
	n, err := conn.CopyFrom(deadline(t), pgx.Identifier{"copied"}, []string{"n", "words"},
		pgx.CopyFromSlice(rows, func(i int) ([]any, error) { return []any{i, strings.Repeat("w", i%100)}, nil }))
	if err != nil || n != rows {
		t.Fatalf("copied %d rows, %v", n, err)
	}
	wantAnswer(t, other, "SELECT count(*) || ' ' || sum(length(words)) FROM copied", fmt.Sprint(rows, " ", rows/100*4950))

	var out bytes.Buffer
	if _, err := other.PgConn().CopyTo(deadline(t), &out, "COPY (SELECT * FROM copied ORDER BY n) TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(out.Bytes(), []byte("\n")); lines != rows {
		t.Errorf("%d lines came out", lines)
	}
}

func TestCopyWithPsql(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	copyTable(t, p)
	psql(t, p, p.DSN("ingest"), `\copy copied FROM PROGRAM 'printf "1\\tone\\n2\\ttwo\\n"'`, `\copy copied TO STDOUT`).want(t, "1\tone\n2\ttwo")
	psql(t, p, p.DSN("ingest"), `\copy copied FROM PROGRAM 'printf "nonsense\\n"'`).wantFailure(t, "22P02")
	psql(t, p, p.DSN("alice"), `\copy copied FROM PROGRAM 'printf "3\\tthree\\n"'`).wantFailure(t, "42501", "permission denied")
}

// TestCopyErrors: whichever side ends a copy early, and however, the session goes on, and so does the server.
func TestCopyErrors(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	copyTable(t, p)
	query := func(sql string) *pgproto3.Query { return &pgproto3.Query{String: sql} }
	data := func(s string) *pgproto3.CopyData { return &pgproto3.CopyData{Data: []byte(s)} }
	const in = "COPY copied FROM STDIN"
	done, sync := &pgproto3.CopyDone{}, &pgproto3.Sync{}
	parse := msgs(&pgproto3.Parse{Query: in}, &pgproto3.Bind{}, &pgproto3.Execute{})
	for _, c := range []struct {
		name  string
		send  []pgproto3.FrontendMessage
		ready int
		want  string
	}{
		{"fine", msgs(query(in), data("1\ta\n"), data("2\tb\n"), done), 1, "copyin COPY 2 ready:I"},
		{"client gives up", msgs(query(in), data("3\ta\n"), &pgproto3.CopyFail{Message: "no more"}), 1, "copyin error:57014 ready:I"},
		{"bad row, then more data", msgs(query(in), data("bad\n"), data("4\tb\n"), done, query("SELECT 1")), 2, "copyin error:22P02 ready:I columns row:1 SELECT 1 ready:I"},
		{"no such table", msgs(query("COPY nowhere FROM STDIN"), data("1\ta\n"), done, query("SELECT 2")), 2, "error:42P01 ready:I columns row:2 SELECT 1 ready:I"},
		{"extended", msgs(append(parse, data("5\te\n"), done, sync)...), 1, "parsed bound copyin COPY 1 ready:I"},
		{"extended, Sync too early", msgs(append(parse, sync, data("6\te\n"), done, sync)...), 1, "parsed bound copyin COPY 1 ready:I"},
		{"extended, bad row", msgs(append(parse, data("bad\n"), done, sync, query("SELECT 3"))...), 2, "parsed bound copyin error:22P02 ready:I columns row:3 SELECT 1 ready:I"},
		{"extended, Sync too early and a bad row", msgs(append(parse, sync, data("bad\n"), done, sync, query("SELECT 4"))...), 2, "parsed bound copyin error:22P02 ready:I columns row:4 SELECT 1 ready:I"},
		{"CopyDone without a copy", msgs(done, query("SELECT 7"), &pgproto3.CopyFail{}, data("x")), 1, "columns row:7 SELECT 1 ready:I"},
		{"COPY out, then in", msgs(query("COPY (SELECT 8) TO STDOUT; COPY copied FROM STDIN"), data("9\ti\n"), done), 1, "copyout data:8\n copydone COPY 1 copyin COPY 1 ready:I"},
		{"in a transaction", msgs(query("BEGIN"), query(in), data("bad\n"), done, query("ROLLBACK")), 3, "BEGIN ready:T copyin error:22P02 ready:E ROLLBACK ready:I"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, together := range []bool{true, false} {
				copyCase(t, p, c.send, together, c.ready, c.want)
			}
		})
	}
}

// copyCase sends messages in one write, or each in its own: then the server's answers come in between.
func copyCase(t *testing.T, p *harness.Endpoint, send []pgproto3.FrontendMessage, together bool, ready int, want string) {
	t.Helper()
	client := dialRaw(t, p, "ingest", nil)
	if together {
		client.send(send...)
	} else {
		for _, m := range send {
			client.send(m)
		}
	}
	if got := client.answers(ready); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	client.send(&pgproto3.Query{String: "SELECT 'alive'"})
	if got := client.answers(1); got != "columns row:alive SELECT 1 ready:I" {
		t.Errorf("afterwards: %s", got)
	}
	// The only server of the pool is free for somebody else, who finds what was copied, once.
	wantAnswer(t, connect(t, p.DSN("ops~rw")), "WITH gone AS (DELETE FROM copied RETURNING n) SELECT count(*) FROM gone", copiedRows(want))
	client.send(&pgproto3.Terminate{})
	client.wantEnd()
}

// copiedRows is how many rows a COPY FROM that ends with these answers has left in the table.
func copiedRows(answers string) string {
	_, tag, found := strings.Cut(answers, "copyin COPY ")
	if !found {
		return "0"
	}
	n, _, _ := strings.Cut(tag, " ")
	return n
}

// TestQueryInsideCopy: PostgreSQL takes it for a loss of synchronisation and ends the session, in its own words.
func TestQueryInsideCopy(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	copyTable(t, p)
	client := dialRaw(t, p, "ingest", nil)
	client.send(&pgproto3.Query{String: "COPY copied FROM STDIN"}, &pgproto3.Query{String: "SELECT 5"}, &pgproto3.Query{String: "SELECT 6"})
	if e := until[*pgproto3.ErrorResponse](client); e.Code != "08P01" || !strings.Contains(e.Message, "COPY") {
		t.Errorf("got %s %s", e.Code, e.Message)
	}
	if e := until[*pgproto3.ErrorResponse](client); e.Severity != "FATAL" || !strings.Contains(e.Message, "synchronization was lost") {
		t.Errorf("got %s %s", e.Severity, e.Message)
	}
	client.wantEnd()
	wantAnswer(t, connect(t, p.DSN("ops~rw")), "SELECT count(*) FROM copied", "0")
}

// TestClientDiesInCopy: nothing of the half copy stays, and the pool of one goes on.
func TestClientDiesInCopy(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	copyTable(t, p)
	for _, sql := range []string{"COPY copied FROM STDIN", "BEGIN; COPY copied FROM STDIN"} {
		client := dialRaw(t, p, "ingest", nil)
		client.send(&pgproto3.Query{String: sql}, &pgproto3.CopyData{Data: []byte("1\tx\n")})
		until[*pgproto3.CopyInResponse](client)
		_ = client.conn.Close()
		wantAnswer(t, connect(t, p.DSN("ingest")), "SELECT count(*) FROM copied", "0")
	}
	client := dialRaw(t, p, "ingest", nil)
	client.send(&pgproto3.Query{String: "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"})
	until[*pgproto3.CopyData](client)
	_ = client.conn.Close()
	wantAnswer(t, connect(t, p.DSN("ingest")), "SELECT 1", "1")
}

// TestPgxCopyFails: a source that fails in the middle.
func TestPgxCopyFails(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	copyTable(t, p)
	conn := connect(t, p.DSN("ingest"))
	broken := io.MultiReader(strings.NewReader("1\tx\n"), errorReader{})
	if _, err := conn.PgConn().CopyFrom(deadline(t), broken, "COPY copied FROM STDIN"); err == nil {
		t.Error("a copy from a broken source worked")
	}
	wantAnswer(t, connect(t, p.DSN("ops~rw")), "SELECT count(*) FROM copied", "0")
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("the source is broken") }
