package attack

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// patience is how long an answer may take before it counts as missing.
const patience = 30 * time.Second

// client is a logged-in session whose every byte the test decides.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *pgproto3.Frontend
	key  []byte // pid and secret of the cancel key
}

// dial logs in as user, which is "name" or "name~tier".
func dial(t testing.TB, p *harness.Endpoint, user string, params ...string) *client {
	t.Helper()
	h := testpg.Hijack(t, dsn(p, user, params...), nil)
	key := append(binary.BigEndian.AppendUint32(nil, h.PID), h.SecretKey...)
	return &client{t: t, conn: h.Conn, r: h.Frontend, key: key}
}

// send writes the frames in one write.
func (c *client) send(frames ...[]byte) {
	c.t.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, f...)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// answers reads up to the n-th ReadyForQuery, or the end, and writes down what it read.
func (c *client) answers(n int) string {
	c.t.Helper()
	var got []string
	for n > 0 {
		m, err := c.r.Receive()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				c.t.Fatalf("no answer after %q", got)
			}
			return strings.Join(append(got, "end"), " ")
		}
		word := describe(m)
		if word != "" {
			got = append(got, word)
		}
		if _, ok := m.(*pgproto3.ReadyForQuery); ok {
			n--
		}
	}
	return strings.Join(got, " ")
}

// ask runs a simple query.
func (c *client) ask(sql string) string {
	c.t.Helper()
	c.send(query(sql))
	return c.answers(1)
}

// cancel sends a cancel request for the session and waits until it has been dealt with.
func (c *client) cancel(p *harness.Endpoint) {
	c.t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(c.key)))
	b = binary.BigEndian.AppendUint32(b, 1234<<16|5678)
	_, _ = conn.Write(append(b, c.key...))
	_, _ = io.Copy(io.Discard, conn)
}

// silent fails when something arrives that nobody asked for.
func (c *client) silent(during time.Duration) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(during))
	b := make([]byte, 1024)
	if n, err := c.conn.Read(b); n > 0 || err == io.EOF {
		c.t.Errorf("got %q, %v that was not asked for", b[:n], err)
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(2 * patience))
}

func describe(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.ParseComplete:
		return "parsed"
	case *pgproto3.BindComplete:
		return "bound"
	case *pgproto3.CloseComplete:
		return "closed"
	case *pgproto3.RowDescription:
		return "columns"
	case *pgproto3.ParameterDescription:
		return "parameters"
	case *pgproto3.NoData:
		return "nodata"
	case *pgproto3.DataRow:
		values := make([]string, len(m.Values))
		for i, v := range m.Values {
			values[i] = string(v)
		}
		return "row:" + strings.Join(values, ",")
	case *pgproto3.CommandComplete:
		return string(m.CommandTag)
	case *pgproto3.EmptyQueryResponse:
		return "empty"
	case *pgproto3.PortalSuspended:
		return "suspended"
	case *pgproto3.ErrorResponse:
		return "error:" + m.Code
	case *pgproto3.CopyInResponse:
		return "copyin"
	case *pgproto3.CopyOutResponse:
		return "copyout"
	case *pgproto3.CopyData:
		return "data:" + string(m.Data)
	case *pgproto3.CopyDone:
		return "copydone"
	case *pgproto3.FunctionCallResponse:
		return "function"
	case *pgproto3.ParameterStatus:
		return m.Name + "=" + m.Value
	case *pgproto3.NoticeResponse:
		return ""
	case *pgproto3.ReadyForQuery:
		return "ready:" + string(m.TxStatus)
	}
	return fmt.Sprintf("%T", m)
}

func frame(typ byte, body ...string) []byte {
	b := strings.Join(body, "")
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(b))), b...)
}

func query(sql string) []byte       { return frame('Q', sql, "\x00") }
func parse(name, sql string) []byte { return frame('P', name, "\x00", sql, "\x00\x00\x00") }
func bind(portal, stmt string) []byte {
	return frame('B', portal, "\x00", stmt, "\x00\x00\x00\x00\x00\x00\x00")
}
func describeStmt(name string) []byte { return frame('D', "S", name, "\x00") }
func closeStmt(name string) []byte    { return frame('C', "S", name, "\x00") }
func execute(portal string) []byte    { return frame('E', portal, "\x00\x00\x00\x00\x00") }
func copyData(data string) []byte     { return frame('d', data) }

var (
	sync     = frame('S')
	flush    = frame('H')
	copyDone = frame('c')
)

// linger takes what comes until nothing more does for a while, and leaves.
func (c *client) linger() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	_, _ = io.Copy(io.Discard, c.conn)
	_ = c.conn.Close()
}

// dsn is for user, which is "name" or "name~tier".
func dsn(p *harness.Endpoint, user string, params ...string) string {
	name, _, _ := strings.Cut(user, "~")
	return p.DSNFor(url.UserPassword(user, harness.Identity{Name: name}.Password()), p.EPMT.Database, params...)
}
