package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgproto3/v2"
	"github.com/xdg-go/scram"

	"github.com/pgtier/pgtier/integration/harness"
)

// rawClient speaks protocol 3.0 with pgproto3/v2: another implementation than pgtier's and pgx's, and one that sends
// exactly what it is told to.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	*pgproto3.Frontend
	pid, secret uint32
	params      map[string]string
}

// dialRaw logs in.
func dialRaw(t testing.TB, p *harness.Endpoint, identity string, params map[string]string) *rawClient {
	t.Helper()
	c := openRaw(t, p)
	all := map[string]string{"user": identity, "database": p.EPMT.Database}
	for k, v := range params {
		all[k] = v
	}
	c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: all})
	name, _, _ := strings.Cut(identity, "~")
	c.scram(harness.Identity{Name: name}.Password())
	for {
		switch m := c.receive().(type) {
		case *pgproto3.ParameterStatus:
			c.params[m.Name] = m.Value
		case *pgproto3.BackendKeyData:
			c.pid, c.secret = m.ProcessID, m.SecretKey
		case *pgproto3.ReadyForQuery:
			return c
		default:
			t.Fatalf("during login: %#v", m)
		}
	}
}

func openRaw(t testing.TB, p *harness.Endpoint) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return &rawClient{
		t: t, conn: conn, params: make(map[string]string),
		Frontend: pgproto3.NewFrontend(pgproto3.NewChunkReader(conn), conn),
	}
}

// scram logs in with xdg-go's client.
func (c *rawClient) scram(password string) {
	c.t.Helper()
	offer, ok := c.receive().(*pgproto3.AuthenticationSASL)
	if !ok || len(offer.AuthMechanisms) == 0 {
		c.t.Fatalf("got %#v instead of an offer of SASL mechanisms", offer)
	}
	client, err := scram.HashGeneratorFcn(sha256.New).NewClient("", password, "")
	if err != nil {
		c.t.Fatal(err)
	}
	talk := client.WithMinIterations(harness.FewIterations).NewConversation()
	first := c.step(talk, "")
	c.send(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte(first)})
	challenge, ok := c.receive().(*pgproto3.AuthenticationSASLContinue)
	if !ok {
		c.t.Fatal("no SASL challenge")
	}
	c.send(&pgproto3.SASLResponse{Data: []byte(c.step(talk, string(challenge.Data)))})
	final, ok := c.receive().(*pgproto3.AuthenticationSASLFinal)
	if !ok {
		c.t.Fatal("no SASL final")
	}
	c.step(talk, string(final.Data))
	if _, ok := c.receive().(*pgproto3.AuthenticationOk); !ok || !talk.Valid() {
		c.t.Fatal("the server has not proven that it knows the password")
	}
}

func (c *rawClient) step(talk *scram.ClientConversation, challenge string) string {
	c.t.Helper()
	reply, err := talk.Step(challenge)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply
}

// send sends messages in one write.
func (c *rawClient) send(messages ...pgproto3.FrontendMessage) {
	c.t.Helper()
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			c.t.Fatal(err)
		}
	}
	c.write(b)
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawClient) receive() pgproto3.BackendMessage {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// answers names what comes up to the n-th ReadyForQuery, as in "1 2 T D C Z:I".
func (c *rawClient) answers(n int) string {
	c.t.Helper()
	var got []string
	for n > 0 {
		switch m := c.receive().(type) {
		case *pgproto3.ParseComplete:
			got = append(got, "parsed")
		case *pgproto3.BindComplete:
			got = append(got, "bound")
		case *pgproto3.CloseComplete:
			got = append(got, "closed")
		case *pgproto3.RowDescription:
			got = append(got, "columns")
		case *pgproto3.ParameterDescription:
			got = append(got, "parameters")
		case *pgproto3.NoData:
			got = append(got, "nodata")
		case *pgproto3.DataRow:
			got = append(got, "row:"+string(m.Values[0]))
		case *pgproto3.CommandComplete:
			got = append(got, string(m.CommandTag))
		case *pgproto3.EmptyQueryResponse:
			got = append(got, "empty")
		case *pgproto3.PortalSuspended:
			got = append(got, "suspended")
		case *pgproto3.ErrorResponse:
			got = append(got, "error:"+m.Code)
		case *pgproto3.CopyInResponse:
			got = append(got, "copyin")
		case *pgproto3.CopyOutResponse:
			got = append(got, "copyout")
		case *pgproto3.CopyData:
			got = append(got, "data:"+string(m.Data))
		case *pgproto3.CopyDone:
			got = append(got, "copydone")
		case *pgproto3.FunctionCallResponse:
			got = append(got, "function")
		case *pgproto3.ParameterStatus:
			got = append(got, m.Name+"="+m.Value)
		case *pgproto3.NoticeResponse:
		case *pgproto3.ReadyForQuery:
			got = append(got, "ready:"+string(m.TxStatus))
			n--
		default:
			got = append(got, fmt.Sprintf("%T", m))
		}
	}
	return strings.Join(got, " ")
}

// until reads up to, and returns, the first of the messages that is wanted.
func until[M pgproto3.BackendMessage](c *rawClient) M {
	c.t.Helper()
	for {
		if m, ok := c.receive().(M); ok {
			return m
		}
	}
}

// wantEnd fails unless the server closes the connection without another word.
func (c *rawClient) wantEnd() {
	c.t.Helper()
	if n, err := c.conn.Read(make([]byte, 1)); err != io.EOF {
		c.t.Errorf("the connection is not closed: %d bytes, %v", n, err)
	}
}

func TestRawProtocol(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}}).Endpoint
	sync := &pgproto3.Sync{}
	bind := func(portal, statement string) *pgproto3.Bind {
		return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
	}
	for _, c := range []struct {
		name  string
		send  []pgproto3.FrontendMessage
		ready int
		want  string
	}{
		{"empty query", msgs(&pgproto3.Query{}), 1, "empty ready:I"},
		{"several statements", msgs(&pgproto3.Query{String: "SELECT 1; SELECT 2"}), 1, "columns row:1 SELECT 1 columns row:2 SELECT 1 ready:I"},
		{"several queries at once", msgs(&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Query{String: "x"}, &pgproto3.Query{String: "SELECT 3"}), 3,
			"columns row:1 SELECT 1 ready:I error:42601 ready:I columns row:3 SELECT 1 ready:I"},
		{"Sync alone", msgs(sync, sync), 2, "ready:I ready:I"},
		{"unnamed", msgs(&pgproto3.Parse{Query: "SELECT 7"}, &pgproto3.Describe{ObjectType: 'S'}, bind("", ""), &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync), 1,
			"parsed parameters columns bound columns row:7 SELECT 1 ready:I"},
		{"named, and closed", msgs(&pgproto3.Parse{Name: "a", Query: "SELECT 8"}, bind("", "a"), &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "a"}, sync), 1,
			"parsed bound row:8 SELECT 1 closed ready:I"},
		{"a name twice: the first one holds", msgs(&pgproto3.Parse{Name: "twice", Query: "SELECT 1"}, sync, &pgproto3.Parse{Name: "twice", Query: "SELECT 2"}, sync,
			bind("", "twice"), &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "twice"}, sync), 3,
			"parsed ready:I error:42P05 ready:I bound row:1 SELECT 1 closed ready:I"},
		{"unknown name", msgs(bind("", "unknown"), &pgproto3.Execute{}, sync), 1, "error:26000 ready:I"},
		{"Describe unknown", msgs(&pgproto3.Describe{ObjectType: 'S', Name: "unknown"}, sync), 1, "error:26000 ready:I"},
		{"a shared statement of another client", msgs(bind("", "pgtier_1"), sync), 1, "error:26000 ready:I"},
		{"Close unknown", msgs(&pgproto3.Close{ObjectType: 'S', Name: "unknown"}, &pgproto3.Close{ObjectType: 'P', Name: "unknown"}, sync), 1, "closed closed ready:I"},
		{"after an error everything to Sync is discarded", msgs(&pgproto3.Parse{Query: "SELECT oops"}, bind("", ""), &pgproto3.Execute{}, &pgproto3.Parse{Name: "b", Query: "SELECT 1"}, sync, bind("", "b"), sync), 2,
			"error:42703 ready:I error:26000 ready:I"},
		{"limited rows", msgs(&pgproto3.Parse{Query: "SELECT generate_series(1, 3)"}, bind("p", ""), &pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Execute{Portal: "p"}, sync), 1,
			"parsed bound row:1 row:2 suspended row:3 SELECT 1 ready:I"},
		{"transaction over messages", msgs(&pgproto3.Query{String: "BEGIN"}, &pgproto3.Query{String: "SELECT 1/0"}, &pgproto3.Query{String: "SELECT 1"}, &pgproto3.Query{String: "ROLLBACK"}), 4,
			"BEGIN ready:T error:22012 ready:E error:25P02 ready:E ROLLBACK ready:I"},
		{"extended and simple in one transaction", msgs(&pgproto3.Parse{Query: "BEGIN"}, bind("", ""), &pgproto3.Execute{}, sync, &pgproto3.Query{String: "COMMIT"}), 2,
			"parsed bound BEGIN ready:T COMMIT ready:I"},
		{"function call", msgs(&rawMessage{'F', functionCall(1397 /* int4abs */, "-5")}), 1, "function ready:I"},
		{"COPY out", msgs(&pgproto3.Query{String: "COPY (SELECT 5) TO STDOUT"}), 1, "copyout data:5\n copydone COPY 1 ready:I"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A new client each time, on the one server connection.
			client := dialRaw(t, p, "ingest", nil)
			client.t = t
			client.send(c.send...)
			if got := client.answers(c.ready); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			client.send(&pgproto3.Terminate{})
			client.wantEnd()
		})
	}
}

func msgs(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }

// rawMessage is any message.
type rawMessage struct {
	typ  byte
	body []byte
}

func (*rawMessage) Frontend()           {}
func (*rawMessage) Decode([]byte) error { return nil }

// Encode appends the message.
func (m *rawMessage) Encode(dst []byte) ([]byte, error) {
	n := uint32(4 + len(m.body))
	return append(append(dst, m.typ, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), m.body...), nil
}

// functionCall is the body of a FunctionCall with one text argument.
func functionCall(oid uint32, argument string) []byte {
	b := []byte{byte(oid >> 24), byte(oid >> 16), byte(oid >> 8), byte(oid), 0, 0, 0, 1, 0, 0, 0, byte(len(argument))}
	return append(append(b, argument...), 0, 0)
}
