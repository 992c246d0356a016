package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// pipeline sends requests of several batches at once, some of which fail.
func (c *client) pipeline(ctx context.Context) error {
	p := c.conn.StartPipeline(ctx)
	n := 1 + c.rand.IntN(15)
	bad := c.rand.IntN(2 * n) // often none
	for i := range n {
		sql := "SELECT $1::text, $2::int"
		if i == bad {
			sql = "SELECT $1::text, 1 / ($2::int - $2::int)"
		}
		p.SendQueryParams(sql, [][]byte{[]byte(c.tag()), fmt.Append(nil, i+1)}, nil, nil, nil)
		if err := p.Sync(); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	var fault error
	for i, row := range c.series(n) {
		if err := c.batch(p, row, i == bad); err != nil {
			fault = err
			break
		}
	}
	err := p.Close()
	if fault != nil {
		return fault
	}
	return c.excuse(err)
}

// batch reads the answers of one batch: a row, or an error, and the end.
func (c *client) batch(p *pgconn.Pipeline, row string, bad bool) error {
	results, err := p.GetResults()
	if err == nil {
		rr, ok := results.(*pgconn.ResultReader)
		if !ok {
			return c.wrong("got %T for a query", results)
		}
		res := rr.Read()
		if err = res.Err; err == nil && bad {
			return c.wrong("a division by zero worked")
		} else if err == nil {
			err = c.want(res, row)
		}
	}
	if err != nil && !(bad && code(err) == "22012") && c.excuse(err) != nil {
		return err
	}
	results, err = p.GetResults()
	if err != nil {
		return err
	}
	if _, ok := results.(*pgconn.PipelineSync); !ok {
		return c.wrong("got %T for a Sync", results)
	}
	return nil
}

// half sends some of the bytes of a few requests and is gone.
func (c *client) half(context.Context) error {
	var b []byte
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Query{String: "BEGIN"},
		&pgproto3.Parse{Name: "half", Query: "SELECT $1::text"},
		&pgproto3.Bind{PreparedStatement: "half", Parameters: [][]byte{[]byte(c.tag())}},
		&pgproto3.Execute{},
		&pgproto3.Sync{},
		&pgproto3.Query{String: "COPY soak_copy FROM STDIN CSV"},
		&pgproto3.CopyData{Data: fmt.Appendf(nil, "%d,%d,1\n", c.id, c.seq)},
		&pgproto3.CopyDone{},
	} {
		var err error
		if b, err = m.Encode(b); err != nil {
			return err
		}
	}
	c.cable.mu.Lock()
	_, err := c.cable.conn.Write(b[:c.rand.IntN(len(b))])
	c.cable.mu.Unlock()
	c.cut(c.rand.IntN(2) == 0)
	return err
}

func (c *client) copyOut(ctx context.Context) error {
	n := 1 + c.rand.IntN(500)
	var out bytes.Buffer
	_, err := c.conn.CopyTo(ctx, &out, fmt.Sprintf("COPY (SELECT '%s', generate_series(1, %d)) TO STDOUT CSV", c.tag(), n))
	if err != nil {
		return c.excuse(err)
	}
	if want := strings.Join(c.series(n), "\n") + "\n"; out.String() != want {
		return c.wrong("copied %.200q, want %.200q", out.String(), want)
	}
	return nil
}

func (c *client) copyIn(ctx context.Context) error {
	n := 1 + c.rand.IntN(500)
	_, err := c.conn.CopyFrom(ctx, c.rows(n, ""), "COPY soak_copy FROM STDIN CSV")
	if err != nil {
		return c.excuse(err)
	}
	err = c.ask(ctx, fmt.Sprintf("SELECT '%s', count(*), sum(n) FROM soak_copy WHERE client = %d AND seq = %d", c.tag(), c.id, c.seq),
		fmt.Sprintf("%s,%d,%d", c.tag(), n, n*(n+1)/2))
	if err != nil {
		return err
	}
	return c.ask(ctx, fmt.Sprintf("DELETE FROM soak_copy WHERE client = %d", c.id))
}

// copyInFails sends a row that PostgreSQL refuses, with more behind it that it has to ignore.
func (c *client) copyInFails(ctx context.Context) error {
	_, err := c.conn.CopyFrom(ctx, io.MultiReader(c.rows(5, ""), c.rows(1, "oops"), c.rows(1000, "")), "COPY soak_copy FROM STDIN CSV")
	if code(err) != "22P02" && c.excuse(err) != nil {
		return err
	}
	if err == nil {
		return c.wrong("copying nonsense worked")
	}
	return c.ask(ctx, fmt.Sprintf("SELECT '%s', count(*) FROM soak_copy WHERE client = %d AND seq = %d", c.tag(), c.id, c.seq), c.tag()+",0")
}

// rows are n rows for soak_copy; suffix spoils them.
func (c *client) rows(n int, suffix string) io.Reader {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,%d%s\n", c.id, c.seq, i+1, suffix)
	}
	return &b
}

// transaction writes and reads what it has written, inside and, on another server perhaps, afterwards.
func (c *client) transaction(ctx context.Context) error {
	row := fmt.Sprintf("SELECT '%s', count(*) FROM soak_rows WHERE client = %d AND seq = %d", c.tag(), c.id, c.seq)
	insert := fmt.Sprintf("INSERT INTO soak_rows VALUES (%d, %d)", c.id, c.seq)
	for _, step := range []struct{ sql, want string }{
		{"BEGIN", ""},
		{insert, ""},
		{"SET LOCAL application_name = 'local'", ""},
		{"SHOW application_name", "local"},
		{row, c.tag() + ",1"},
		{"COMMIT", ""},
		{row, c.tag() + ",1"},
		{fmt.Sprintf("DELETE FROM soak_rows WHERE client = %d", c.id), ""},
	} {
		if done, err := c.step(ctx, step.sql, step.want); done || err != nil {
			return err
		}
	}
	return nil
}

// failedTransaction does everything that must leave nothing behind.
func (c *client) failedTransaction(ctx context.Context) error {
	row := fmt.Sprintf("SELECT '%s', count(*) FROM soak_rows WHERE client = %d AND seq = %d", c.tag(), c.id, c.seq)
	insert := fmt.Sprintf("INSERT INTO soak_rows VALUES (%d, %d)", c.id, c.seq)
	for _, step := range []struct{ sql, want, code string }{
		{sql: "BEGIN"},
		{sql: "SET TimeZone = 'Asia/Tokyo'"},
		{sql: "SAVEPOINT a"},
		{sql: insert},
		{sql: "SELECT 1/0", code: "22012"},
		{sql: "ROLLBACK TO a"},
		{sql: insert},
		{sql: row, want: c.tag() + ",1"},
		{sql: insert, code: "23505"},
		{sql: "SELECT 1", code: "25P02"},
		{sql: "ROLLBACK"},
		{sql: row, want: c.tag() + ",0"},
	} {
		if step.code != "" {
			if err := c.wantCode(ctx, step.sql, step.code); err != nil {
				return err
			}
		} else if done, err := c.step(ctx, step.sql, step.want); done || err != nil {
			return err
		}
	}
	return c.checkSettings(ctx)
}

// step runs one statement of a transaction. done is true when the transaction ended early, by a late cancel.
func (c *client) step(ctx context.Context, sql, want string) (done bool, err error) {
	results, err := c.conn.Exec(ctx, sql).ReadAll()
	if err != nil && c.excuse(err) == nil {
		_, err = c.conn.Exec(ctx, "ROLLBACK").ReadAll()
		return true, err
	}
	if err != nil || want == "" {
		return false, err
	}
	return false, c.want(results[len(results)-1], want)
}
