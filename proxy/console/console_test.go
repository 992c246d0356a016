package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDaemon has one of everything and notes what it is told.
type fakeDaemon struct {
	mu      sync.Mutex
	told    []string
	pausing chan struct{} // gets a value when Pause waits
}

func (d *fakeDaemon) tell(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, s)
}

func (d *fakeDaemon) Clients(context.Context) ([]Client, error) {
	return []Client{
		{ID: 7, Identity: "alice", Wait: 1500 * time.Millisecond, Addr: netip.MustParseAddrPort("192.0.2.1:99")},
		{ID: 8, Identity: "bob", ServerPID: 42, Counts: Counts{Leases: 3}},
	}, nil
}

func (d *fakeDaemon) Servers(context.Context) ([]Server, error) {
	return []Server{{Addr: "db1:5432", PID: 42, Client: 8}}, errors.New("secret cause")
}
func (d *fakeDaemon) Pools() []Pool         { return []Pool{{Database: "EPMT", Clients: 5, Waiting: 2}} }
func (d *fakeDaemon) Databases() []Database { return []Database{{Name: "EPMT", Guard: true}} }
func (d *fakeDaemon) Identities() []Identity {
	return []Identity{{Name: "alice", Groups: []string{"a", "b"}}}
}
func (d *fakeDaemon) Stats(context.Context) ([]Stat, error) { return []Stat{{Database: "EPMT"}}, nil }
func (d *fakeDaemon) Config() []Setting                     { return []Setting{{Key: "k", Effect: "live"}} }
func (d *fakeDaemon) Version() string                       { return "pgtier test" }
func (d *fakeDaemon) Resume(t Target) error                 { d.tell("resume " + t.String()); return nil }
func (d *fakeDaemon) Kill(id uint64) error                  { d.tell("kill"); return nil }
func (d *fakeDaemon) KillIdentity(name string) (int, error) { d.tell("kill " + name); return 2, nil }
func (d *fakeDaemon) Reload() error                         { return pgerr.New("F0000", "a mistake") }
func (d *fakeDaemon) Reconnect(t Target) error              { d.tell("reconnect " + t.String()); return nil }
func (d *fakeDaemon) Shutdown(bool)                         { panic("a bug") }

func (d *fakeDaemon) Pause(ctx context.Context, t Target) error {
	d.pausing <- struct{}{}
	<-ctx.Done()
	d.tell("pause of " + t.String() + " given up")
	return context.Cause(ctx)
}

// talk is a session with its client.
type talk struct {
	t    *testing.T
	d    *fakeDaemon
	s    *Session
	fe   *pgproto3.Frontend
	conn net.Conn
	end  chan session.Reason
}

func newTalk(t *testing.T, admin bool) *talk {
	client, server := net.Pipe()
	d := &fakeDaemon{pausing: make(chan struct{}, 1)}
	k := &talk{t: t, d: d, conn: client, fe: pgproto3.NewFrontend(client, client), end: make(chan session.Reason, 1)}
	k.s = New(Config{Conn: server, Identity: "dba", Admin: admin, PID: 1, Secret: []byte("1234"), Daemon: d, Log: zap.NewNop()})
	go func() { k.end <- k.s.Serve() }()
	t.Cleanup(func() {
		_ = client.Close()
		k.s.End(session.ReasonShutdown, nil)
	})
	k.until()
	return k
}

// until reads up to ReadyForQuery, or the end, and names what came.
func (k *talk) until() string {
	var got []string
	for {
		msg, err := k.fe.Receive()
		if err != nil {
			return strings.Join(append(got, "end"), " ")
		}
		switch m := msg.(type) {
		case *pgproto3.ReadyForQuery:
			return strings.Join(got, " ")
		case *pgproto3.ErrorResponse:
			got = append(got, m.Severity+":"+m.Code)
		case *pgproto3.CommandComplete:
			got = append(got, strings.ReplaceAll(string(m.CommandTag), " ", "_"))
		case *pgproto3.DataRow:
			got = append(got, "row")
		case *pgproto3.RowDescription:
			got = append(got, "columns")
		case *pgproto3.ParameterStatus, *pgproto3.BackendKeyData:
		default:
			got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
	}
}

func (k *talk) send(messages ...pgproto3.FrontendMessage) string {
	k.t.Helper()
	for _, m := range messages {
		k.fe.Send(m)
	}
	if err := k.fe.Flush(); err != nil {
		k.t.Fatal(err)
	}
	return k.until()
}

func TestConversation(t *testing.T) {
	q := func(sql string) []pgproto3.FrontendMessage {
		return []pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}
	}
	for _, c := range []struct {
		name, want string
		messages   []pgproto3.FrontendMessage
	}{
		{"rows", "columns row row SHOW", q("show CLIENTS;")},
		{"an error of the daemon's", "ERROR:XX000", q("SHOW SERVERS")},
		{"one that is for the client", "ERROR:F0000", q("RELOAD")},
		{"several", "columns row SHOW RESUME KILL_2 KILL_1", q("SHOW POOLS; RESUME; KILL IDENTITY 'x'; kill 7")},
		{"a mistake behind others", "ERROR:42601", q("RESUME; RESUMEE")},
		{"nothing", "EmptyQueryResponse", q(" -- nothing\n;;")},
		{"what drivers say", "BEGIN SET COMMIT", q("BEGIN; SET a.b = 'c d'; END")},
		{"extended", "ParseComplete ParameterDescription columns BindComplete columns row PortalSuspended row SHOW CloseComplete", []pgproto3.FrontendMessage{
			&pgproto3.Parse{Name: "s", Query: "SHOW CLIENTS"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
			&pgproto3.Bind{PreparedStatement: "s", ResultFormatCodes: []int16{1}}, &pgproto3.Describe{ObjectType: 'P'},
			&pgproto3.Execute{MaxRows: 1}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{}}},
		{"an error up to Sync", "ERROR:26000", []pgproto3.FrontendMessage{
			&pgproto3.Bind{PreparedStatement: "no"}, &pgproto3.Execute{}, &pgproto3.Query{String: "RESUME"}, &pgproto3.Sync{}}},
		{"parameters", "ParseComplete ERROR:08P01", []pgproto3.FrontendMessage{
			&pgproto3.Parse{Query: "SHOW POOLS"}, &pgproto3.Bind{Parameters: [][]byte{[]byte("1")}}, &pgproto3.Sync{}}},
		{"a bug", "FATAL:XX000 end", q("SHUTDOWN")},
		{"not a message", "FATAL:08P01 end", []pgproto3.FrontendMessage{&pgproto3.PasswordMessage{Password: "x"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(t, true)
			if got := k.send(c.messages...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestTooLong: a message that no command can be is not even read.
func TestTooLong(t *testing.T) {
	k := newTalk(t, true)
	if _, err := k.conn.Write([]byte{'Q', 0, 1, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if got := k.until(); got != "FATAL:54000 end" {
		t.Errorf("got %s", got)
	}
}

func TestObserver(t *testing.T) {
	k := newTalk(t, false)
	for _, sql := range []string{"PAUSE", "RESUME", "KILL 7", "KILL IDENTITY x", "RELOAD", "RECONNECT", "SHUTDOWN"} {
		if got := k.send(&pgproto3.Query{String: sql}); got != "ERROR:42501" {
			t.Errorf("%s: %s", sql, got)
		}
	}
	if len(k.d.told) > 0 {
		t.Errorf("done: %v", k.d.told)
	}
}

// TestGivenUp: a command that waits is given up by a cancel request, by the client's leaving, and by the session's end.
func TestGivenUp(t *testing.T) {
	k := newTalk(t, true)
	pause := func() {
		k.fe.Send(&pgproto3.Query{String: `PAUSE "a/b"/ro`})
		if err := k.fe.Flush(); err != nil {
			t.Fatal(err)
		}
		<-k.d.pausing
	}
	pause()
	k.s.Cancel()
	if got := k.until(); got != "ERROR:57014" {
		t.Errorf("cancelled: %s", got)
	}
	k.s.Cancel() // nothing to cancel
	pause()
	k.s.End(session.ReasonKilled, errCancelled)
	if got := k.until(); !strings.Contains(got, "FATAL:57014 end") {
		t.Errorf("ended: %s", got)
	}
	if got := <-k.end; got != session.ReasonKilled {
		t.Errorf("reason %s", got)
	}
	k = newTalk(t, true)
	pause()
	_ = k.conn.Close()
	if got := <-k.end; got != session.ReasonClientGone {
		t.Errorf("reason %s", got)
	}
	if got := strings.Join(k.d.told, ", "); got != "pause of a/b/ro given up" {
		t.Errorf("told %q", got)
	}
}

// TestDocumented: docs/console.md has every column of every table, under its heading.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range tables {
		_, section, ok := strings.Cut(string(doc), "\n### `SHOW "+name+"`")
		if !ok {
			t.Errorf("SHOW %s is not documented", name)
			continue
		}
		if i := strings.Index(section, "\n### "); i >= 0 {
			section = section[:i]
		}
		for _, c := range table.columns {
			if !strings.Contains(section, "`"+c.name+"`") {
				t.Errorf("SHOW %s: column %s is not documented", name, c.name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"SHOW CLIENTS", "PAUSE \"a\"\"b\"/'c'", "KILL 1;;RESUME", "SHOW $1", "'", "PAUSE a/b/c", "KILL IDENTITY a@b.c", "\x00", "/*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		commands, err := parse(text)
		if err != nil && len(commands) > 0 {
			t.Error("commands of a text with a mistake")
		}
		for _, c := range commands {
			if c.tag == "" && c.act == nil {
				t.Errorf("a command without a tag in %q", text)
			}
		}
	})
}

// FuzzFrames: whatever a message holds, it is answered or ends the session.
func FuzzFrames(f *testing.F) {
	f.Add(byte('P'), []byte("s\x00SHOW HELP\x00\x00\x00"))
	f.Add(byte('B'), []byte("\x00s\x00\x00\x00\x00\x00\x00\x01\x00\x01"))
	f.Add(byte('D'), []byte("Ss\x00"))
	f.Add(byte('E'), []byte("\x00\x00\x00\x00\x01"))
	f.Add(byte('C'), []byte("P"))
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		s := New(Config{Conn: server, Identity: "dba", Daemon: &fakeDaemon{}, Log: zap.NewNop()})
		s.frame(frame{typ: 'P', body: []byte("s\x00SHOW HELP\x00\x00\x00")})
		s.frame(frame{typ: 'B', body: []byte("\x00s\x00\x00\x00\x00\x00\x00\x00")})
		s.out = s.out[:0]
		s.frame(frame{typ: typ, body: body})
		if len(s.out) > flushAt {
			t.Errorf("%d bytes of answer", len(s.out))
		}
	})
}
