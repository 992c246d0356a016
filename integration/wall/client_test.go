package wall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/harness"
)

// client is a logged-in session whose messages the test decides.
type client struct {
	*pgproto3.Frontend
	t     testing.TB
	raw   *pgconn.HijackedConn
	lines []string // what it has been told: "row ...", "error 42501 ...", "done SELECT 1", ...
	ready int      // how many ReadyForQuery it has seen
	tx    byte     // of the last of them
	ended bool     // the connection is over

	copies bool // the test sends copy data itself
}

// connect logs an identity in. params are startup parameters, name=value.
func (b *lab) connect(l level, identity string, params map[string]string) (*client, error) {
	b.t.Helper()
	secret := password
	if identity == "alice" {
		secret = harness.Identity{Name: identity}.Password()
	}
	cfg, err := pgconn.ParseConfig(b.proxy.DSNFor(url.UserPassword(identity, secret), l.name))
	must(b.t, err)
	for name, value := range params {
		cfg.RuntimeParams[name] = value
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	h, err := pg.Hijack()
	must(b.t, err)
	must(b.t, h.Conn.SetDeadline(time.Now().Add(2*patience)))
	return &client{Frontend: h.Frontend, t: b.t, raw: h, tx: 'I'}, nil
}

func (b *lab) mustConnect(l level, identity string) *client {
	b.t.Helper()
	c, err := b.connect(l, identity, nil)
	if err != nil {
		b.t.Fatalf("%s on %s: %v", identity, l.name, err)
	}
	return c
}

// cancel sends a cancel request and waits until it is over.
func (c *client) cancel(addr string) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return
	}
	defer conn.Close()
	request := &pgproto3.CancelRequest{ProcessID: c.raw.PID, SecretKey: c.raw.SecretKey}
	if b, err := request.Encode(nil); err == nil {
		_, _ = conn.Write(b)
		_, _ = conn.Read(make([]byte, 1)) // its end
	}
}

func (c *client) close() {
	if !c.ended {
		c.Send(&pgproto3.Terminate{})
		_ = c.Flush() // it may be gone
	}
	_ = c.raw.Conn.Close()
}

// flush writes what has been sent so far, in one write.
func (c *client) flush() {
	if err := c.Flush(); err != nil {
		c.ended = true
	}
}

// await reads until n more ReadyForQuery have come, or the end.
func (c *client) await(n int) {
	c.t.Helper()
	for want := c.ready + n; c.ready < want && !c.ended; {
		c.read()
	}
}

func (c *client) read() {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.t.Errorf("no answer after %q", c.lines)
		}
		c.ended = true
		return
	}
	switch m := m.(type) {
	case *pgproto3.DataRow:
		line := "row"
		for _, v := range m.Values {
			line += " " + string(v)
		}
		c.lines = append(c.lines, line)
	case *pgproto3.CopyData:
		c.lines = append(c.lines, "row "+string(m.Data))
	case *pgproto3.FunctionCallResponse:
		c.lines = append(c.lines, "row "+string(m.Result))
	case *pgproto3.NotificationResponse:
		c.lines = append(c.lines, "row "+m.Channel+" "+m.Payload)
	case *pgproto3.ErrorResponse:
		c.lines = append(c.lines, "error "+m.Code+" "+m.Message)
	case *pgproto3.NoticeResponse:
		c.lines = append(c.lines, "notice "+m.Message)
	case *pgproto3.CommandComplete:
		c.lines = append(c.lines, "done "+string(m.CommandTag))
	case *pgproto3.CopyInResponse:
		c.lines = append(c.lines, "copy in")
		if !c.copies {
			c.Send(&pgproto3.CopyFail{Message: "nothing to copy"})
			c.flush()
		}
	case *pgproto3.ReadyForQuery:
		c.ready++
		c.tx = m.TxStatus
	}
}

// query runs a text in the simple protocol and returns what it was told.
func (c *client) query(sql string) []string {
	c.t.Helper()
	from := len(c.lines)
	c.Send(&pgproto3.Query{String: sql})
	c.flush()
	c.await(1)
	return c.lines[from:]
}

// extended sends a text as Parse, Bind, Execute; the Sync is the caller's.
func (c *client) extended(sql string, params ...string) {
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	c.Send(&pgproto3.Parse{Query: sql})
	c.Send(&pgproto3.Bind{Parameters: values})
	c.Send(&pgproto3.Execute{})
}

// value is the first row that a query gave, "" without one.
func (c *client) value(sql string) string {
	c.t.Helper()
	for _, line := range c.query(sql) {
		var v string
		if n, _ := fmt.Sscanf(line, "row %s", &v); n == 1 {
			return v
		}
	}
	return ""
}
