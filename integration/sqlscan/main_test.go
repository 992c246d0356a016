// Package sqlscan compares proxy/sqlscan with PostgreSQL: it runs texts and looks at what has changed.
package sqlscan

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Main(m)) }

// fixture has a login that may become alice and bob but inherits nothing, and tables whose names are keywords.
const fixture = `
CREATE ROLE alice; CREATE ROLE bob;
CREATE ROLE px LOGIN PASSWORD 'px' NOINHERIT; GRANT alice, bob TO px;
CREATE TABLE temp (x text); CREATE TABLE t (x text, role text);
ALTER TABLE temp OWNER TO px; ALTER TABLE t OWNER TO px; GRANT ALL ON temp, t TO alice, bob; GRANT ALL ON SCHEMA public TO px, alice, bob;`

// server is one PostgreSQL with the fixture in it, which all tests share.
type server struct{ cluster *pgtest.Cluster }

var fixed sync.Once

func start(t *testing.T) server {
	t.Helper()
	c, _ := testpg.Shared(t)
	fixed.Do(func() {
		if err := c.Exec(t.Context(), "postgres", fixture); err != nil {
			t.Fatal(err)
		}
	})
	return server{c}
}

// client is a connection as px, spoken to in frames, so that every answer of a text is seen.
type client struct {
	t *testing.T
	*pgconn.HijackedConn
}

func (s server) connect(t *testing.T) *client {
	t.Helper()
	return &client{t, testpg.Hijack(t, s.cluster.URL("px", "px", "postgres"), nil)}
}

// outcome is what a server says to one text.
type outcome struct {
	tags   []string // of the statements that ran
	empty  bool     // EmptyQueryResponse
	code   string   // SQLSTATE of the error, "" when there was none
	text   string   // of the error
	status byte     // of ReadyForQuery
	column string   // name of the first column of the last result
	row    []string // last row of the last result, NULL as ""
}

// run sends one Query and reads everything up to ReadyForQuery.
func (c *client) run(sql string) (o outcome) {
	c.t.Helper()
	if err := c.Conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	c.Frontend.Send(&pgproto3.Query{String: sql})
	if err := c.Frontend.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for {
		m, err := c.Frontend.Receive()
		if err != nil {
			c.t.Fatalf("%q: %v", sql, err)
		}
		if o.note(m) {
			return o
		}
		if _, ok := m.(*pgproto3.CopyInResponse); ok {
			c.Frontend.Send(&pgproto3.CopyFail{Message: "no data"})
			if err := c.Frontend.Flush(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// note takes one message in and reports whether it was the last.
func (o *outcome) note(m pgproto3.BackendMessage) (last bool) {
	switch m := m.(type) {
	case *pgproto3.CommandComplete:
		o.tags = append(o.tags, string(m.CommandTag))
	case *pgproto3.EmptyQueryResponse:
		o.empty = true
	case *pgproto3.ErrorResponse:
		o.code, o.text = m.Code, m.Message
	case *pgproto3.RowDescription:
		if o.column = ""; len(m.Fields) > 0 {
			o.column = string(m.Fields[0].Name)
		}
	case *pgproto3.DataRow:
		o.row = o.row[:0]
		for _, v := range m.Values {
			o.row = append(o.row, string(v))
		}
	case *pgproto3.ReadyForQuery:
		o.status = m.TxStatus
		return true
	}
	return false
}

// must is run for a text that has to succeed.
func (c *client) must(sql string) outcome {
	c.t.Helper()
	o := c.run(sql)
	if o.code != "" {
		c.t.Fatalf("%s: %s", sql, o.err())
	}
	return o
}

func (o outcome) err() error {
	if o.code == "" {
		return nil
	}
	return errors.New(o.code + ": " + o.text)
}
