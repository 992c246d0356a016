package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/handover"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

// patience is how long a test waits for what must come. It is a bound for a broken build, not a timing.
const patience = 20 * time.Second

// house is a Group over real sockets, with servers that tests write: goroutines at the other ends of socket pairs.
type house struct {
	*testing.T
	group    *Group
	pools    *pool.Set
	pool     *pool.Pool
	profiles *session.Profiles
	shared   *session.Statements
	decision auth.Decision

	mu      sync.Mutex
	servers []*testServer
	refuse  error             // Dial fails with it
	behave  func(*testServer) // what each server does; nil = (*testServer).serve
	ended   chan session.Reason
	opened  chan *testServer
}

type houseOptions struct {
	loops, size int
	cancelWait  time.Duration
	behave      func(*testServer)
	log         *zap.Logger
}

func newHouse(t *testing.T, opt houseOptions) *house {
	t.Helper()
	if opt.log == nil {
		opt.log = zap.NewNop()
	}
	h := &house{
		T: t, profiles: session.NewProfiles(), shared: session.NewStatements(), behave: opt.behave,
		ended: make(chan session.Reason, 1000), opened: make(chan *testServer, 1000),
	}
	h.pools = pool.NewSet()
	h.pool = h.pools.Pool(pool.Key{Database: "EPMT", Tier: "rw"}, pool.Settings{Size: opt.size, LoginRetry: 100 * time.Millisecond})
	h.decision = auth.Decision{
		Identity: "alice",
		Tier:     &config.Tier{Name: "rw", Login: "epmt-rw", Database: &config.Database{Name: "EPMT"}, Pool: config.Pool{Mode: "transaction"}},
	}
	var err error
	h.group, err = New(Options{
		Loops: max(1, opt.loops), Engine: testEngine, Pools: h.pools, Dialer: h, Log: opt.log, CancelWait: opt.cancelWait,
		Ended: func(s *session.Session, _ *End) { h.ended <- s.Ended().Reason },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	h.group.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.servers {
		_ = v.conn.Close()
		<-v.done
	}
}

// server returns the server that was opened as number i, from 0.
func (h *house) server(i int) *testServer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.servers[i]
}

// opens returns how many servers have been opened.
func (h *house) opens() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.servers)
}

// socketPair returns a socket for the relay and the other end of it.
func (h *house) socketPair() (*handover.Conn, net.Conn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		h.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		if ends[i], err = net.FileConn(f); err != nil {
			h.Fatal(err)
		}
		_ = f.Close()
	}
	return handover.New(ends[0]), ends[1]
}

// Dial opens a server, as the pools ask for it.
func (h *house) Dial(context.Context, *pool.Pool) (*Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return nil, h.refuse
	}
	ours, theirs := h.socketPair()
	v := &testServer{house: h, id: len(h.servers) + 1, conn: theirs, done: make(chan struct{}), asleep: make(chan struct{}, 10), cancels: make(chan struct{}, 10), blocked: make(chan struct{})}
	close(v.blocked)
	h.servers = append(h.servers, v)
	behave := h.behave
	if behave == nil {
		behave = (*testServer).serve
	}
	go func() {
		defer close(v.done)
		behave(v)
	}()
	h.opened <- v
	return &Conn{Net: ours, PID: uint32(v.id), Addr: "db1:5432", Params: map[string]string{"server_version": "15.6"}, Cancel: v}, nil
}

// testServer is a PostgreSQL of a few words.
type testServer struct {
	house   *house
	id      int
	conn    net.Conn
	done    chan struct{}
	status  byte
	asleep  chan struct{} // it has been told to sleep
	cancels chan struct{} // a cancel request has come
	blocked chan struct{} // and is over when this is closed
}

// Send is the cancel request.
func (v *testServer) Send(ctx context.Context) error {
	v.cancels <- struct{}{}
	select {
	case <-v.blocked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serve answers until the connection ends. "select N" has N for an answer, "server" the server's id; "sleep" has none until
// it is cancelled; "die" ends the connection; "rows N" returns N rows of a kilobyte.
func (v *testServer) serve() {
	v.status = wire.Idle
	in := make([]byte, 64<<10)
	held := 0
	for {
		n, err := v.conn.Read(in[held:])
		if err != nil {
			return
		}
		held += n
		at := 0
		var out []byte
		for held-at >= wire.HeaderSize {
			typ, size, _ := wire.Header(in[at:held])
			if size > held-at {
				break
			}
			body := in[at+wire.HeaderSize : at+size]
			at += size
			if out = v.answer(out, typ, body); out == nil {
				_ = v.conn.Close()
				return
			}
		}
		held = copy(in, in[at:held])
		if _, err := v.conn.Write(out); err != nil {
			return
		}
	}
}

// answer appends the answer to a message; nil ends the connection.
func (v *testServer) answer(out []byte, typ byte, body []byte) []byte {
	switch typ {
	case wire.Query:
		text, _, _ := wire.CString(body)
		return v.query(out, string(text))
	case wire.Parse:
		return wire.AppendEmpty(out, wire.ParseComplete)
	case wire.Bind:
		return wire.AppendEmpty(out, wire.BindComplete)
	case wire.Execute:
		return wire.AppendCommandComplete(out, "EXECUTED")
	case wire.Sync:
		return wire.AppendReadyForQuery(out, v.status)
	}
	return out
}

func (v *testServer) query(out []byte, text string) []byte {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "begin":
		v.status = wire.InTx
	case "commit", "ROLLBACK":
		v.status = wire.Idle
	case "server":
		out = appendRow(out, fmt.Sprint(v.id))
	case "select":
		out = appendRow(out, rest)
	case "rows":
		n := 0
		_, _ = fmt.Sscan(rest, &n)
		row := appendRow(nil, strings.Repeat("x", 1024))
		for range n {
			out = append(out, row...)
		}
	case "sleep":
		_, _ = v.conn.Write(out)
		out = out[:0]
		v.asleep <- struct{}{}
		<-v.cancels
		out = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").Append(out)
		return wire.AppendReadyForQuery(out, v.status)
	case "die":
		return nil
	}
	return wire.AppendReadyForQuery(wire.AppendCommandComplete(out, word), v.status)
}

func appendRow(dst []byte, value string) []byte {
	dst, at := wire.Begin(dst, wire.DataRow)
	dst = append(dst, 0, 1)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return wire.End(append(dst, value...), at)
}

// testClient is a client that has been adopted.
type testClient struct {
	*house
	relayed *Client
	conn    net.Conn
}

// client logs a client in and reads its welcome. onLoop < 0 leaves the choice of the loop to the group.
func (h *house) client(onLoop int) *testClient {
	h.Helper()
	return h.clientLike(onLoop, h.decision)
}

func (h *house) clientLike(onLoop int, decision auth.Decision) *testClient {
	h.Helper()
	for i, l := range h.group.loops {
		if onLoop >= 0 && i != onLoop {
			l.busy.Store(100)
		} else if onLoop >= 0 {
			l.busy.Store(0)
		}
	}
	ours, theirs := h.socketPair()
	_ = theirs.SetDeadline(time.Now().Add(patience))
	relayed, err := h.group.Adopt(ours, nil, session.Config{
		ID: 1, PID: 7, Secret: []byte{1, 2, 3, 4}, Pool: h.pool, Startup: session.NoSettings, Profiles: h.profiles, Texts: h.shared, Decision: &decision,
	})
	if err != nil {
		h.Fatal(err)
	}
	if onLoop >= 0 && relayed.loop.id != onLoop { // the loops measured how busy they are in that very moment
		_ = theirs.Close()
		h.reason()
		return h.clientLike(onLoop, decision)
	}
	c := &testClient{house: h, relayed: relayed, conn: theirs}
	h.Cleanup(func() { _ = theirs.Close() })
	if got := c.reply(); !strings.HasSuffix(got, "Z I") {
		h.Fatalf("welcomed with %q", got)
	}
	return c
}

func (c *testClient) send(queries ...string) {
	c.Helper()
	var out []byte
	for _, q := range queries {
		out = wire.AppendQuery(out, q)
	}
	c.write(out)
}

func (c *testClient) write(b []byte) {
	c.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.Fatal(err)
	}
}

// reply returns what comes up to the next ReadyForQuery, or to the end.
func (c *testClient) reply() string {
	c.Helper()
	var words []string
	for {
		typ, body, err := c.frame()
		if err != nil {
			return strings.Join(append(words, errorWord(err)), " ")
		}
		switch typ {
		case wire.ReadyForQuery:
			return strings.Join(append(words, "Z "+string(body)), " ")
		case wire.DataRow:
			words = append(words, string(body[6:]))
		case wire.ErrorResponse:
			words = append(words, "error "+errorCode(body))
		case wire.NoticeResponse, wire.ParameterStatus, wire.BackendKeyData:
		default:
			words = append(words, string(typ))
		}
	}
}

func errorWord(err error) string {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return "end"
	}
	return err.Error()
}

func errorCode(body []byte) string {
	if _, rest, ok := bytes.Cut(body, []byte("\x00C")); ok {
		return string(rest[:5])
	}
	return ""
}

func (c *testClient) frame() (typ byte, body []byte, err error) {
	head := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return 0, nil, err
	}
	typ, size, ok := wire.Header(head)
	if !ok {
		return 0, nil, fmt.Errorf("no frame begins with %q", head)
	}
	body = make([]byte, size-wire.HeaderSize)
	_, err = io.ReadFull(c.conn, body)
	return typ, body, err
}

// ask sends one query and returns the reply.
func (c *testClient) ask(query string) string {
	c.Helper()
	c.send(query)
	return c.reply()
}

// expect asks and compares.
func (c *testClient) expect(query, want string) {
	c.Helper()
	if got := c.ask(query); got != want {
		c.Errorf("%s: got %q, want %q", query, got, want)
	}
}

// wait waits until ok holds, which something else is about to bring about.
func (h *house) wait(what string, ok func() bool) {
	h.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("%s: it does not happen", what)
		}
	}
}

func (h *house) reason() session.Reason {
	h.Helper()
	select {
	case r := <-h.ended:
		return r
	case <-time.After(patience):
		h.Fatal("no session has ended")
		return ""
	}
}
