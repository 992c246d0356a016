package attack

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/fakepg"
	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
)

const liarsPassword = "liar"

// lyingServer is a pgtier in front of a scripted server.
func lyingServer(t *testing.T, script func(n int) []fakepg.Step, more string) *harness.Endpoint {
	t.Helper()
	fake := fakepg.Start(t, script)
	account := func(name string) pgtest.Account { return pgtest.Account{Name: name, Password: liarsPassword} }
	return harness.Start(t, harness.Options{
		Cluster: &pgtest.Cluster{Port: fake.Addr().Port()},
		EPMT:    &pgtest.EPMT{Database: "EPMT", Admin: account("epmt-admin"), RW: account("epmt-rw"), RO: account("epmt-ro")},
		// The first query is to be the client's, and not the SET that puts the session's label on the connection.
		Tiers: map[string]string{"ro": `application_name = "client"`},
		Pools: map[string]string{"ro": "size = 1"}, More: more, Env: map[string]string{"LIAR": liarsPassword},
	}).Endpoint
}

func login() fakepg.Step {
	return fakepg.All(fakepg.LoginSCRAM(fakepg.Scram{Password: liarsPassword}), fakepg.Welcome())
}

// moreLies are those that package fakepg does not have: they are about pgtier's account of what is outstanding.
func moreLies() []fakepg.Lie {
	var flood []byte
	for i := range 20_000 {
		flood = append(flood, fakepg.Encode(&pgproto3.ParameterStatus{Name: fmt.Sprintf("flood.n%d", i), Value: strings.Repeat("v", 100)})...)
	}
	ready := fakepg.Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	inAnswer := func(name string, lie ...[]byte) fakepg.Lie {
		return fakepg.Lie{Name: name, Stage: fakepg.InAnswer, Steps: []fakepg.Step{login(), fakepg.Expect('Q'), fakepg.Send(lie...), fakepg.Silence()}}
	}
	idle := func(name string, lie ...[]byte) fakepg.Lie {
		return fakepg.Lie{Name: name, Stage: fakepg.WhenIdle, Steps: []fakepg.Step{
			login(), fakepg.Expect('Q'), fakepg.Send(append([][]byte{fakepg.Answer("truth")}, lie...)...), fakepg.Silence(),
		}}
	}
	return []fakepg.Lie{
		inAnswer("20,000 new settings", flood, fakepg.Answer("lie")),
		inAnswer("a setting of 1 MB", fakepg.Frame('S', "x\x00"+strings.Repeat("y", 1<<20)+"\x00"), fakepg.Answer("lie")),
		inAnswer("ParseComplete", fakepg.Frame('1', ""), fakepg.Answer("lie")),
		inAnswer("BindComplete", fakepg.Frame('2', ""), fakepg.Answer("lie")),
		inAnswer("PortalSuspended", fakepg.Frame('s', ""), fakepg.Answer("lie")),
		inAnswer("a function's result", fakepg.Frame('V', "\xff\xff\xff\xff"), fakepg.Answer("lie")),
		inAnswer("the end of a copy that was none", fakepg.Frame('c', "x"), fakepg.Frame('Z', "I"), fakepg.Frame('Z', "I"), fakepg.Answer("lie")),
		idle("two ready at once", ready, ready),
		idle("20,000 new settings while idle", flood),
	}
}

const (
	loginTimeouts = "[timeouts]\nserver_connect = \"500ms\"\nlogin = \"1s\"\n"
	queryTimeout  = "[timeouts]\nquery = \"1s\"\n"
)

// TestLoginLies is a pgtier with many servers, each of which lies in a way of its own when pgtier logs in, all at the same
// time: each one's client gets an error with SQLSTATE, and that of an honest server notices nothing.
func TestLoginLies(t *testing.T) {
	lies := map[string]fakepg.Lie{} // by database
	var more strings.Builder
	more.WriteString(loginTimeouts)
	for _, lie := range fakepg.Lies(liarsPassword) {
		if lie.Stage != fakepg.AtLogin || lie.Name == "accepts and is deaf" { // that one is busy until the end of the test
			continue
		}
		name := fmt.Sprintf("lie%d", len(lies))
		fmt.Fprintf(&more, "[servers.%[1]s]\nhost = \"127.0.0.1\"\nport = %[2]d\nsslmode = \"disable\"\n[databases.%[1]s]\nserver = %[1]q\n"+
			"[databases.%[1]s.tiers.ro]\nlogin = \"epmt-ro\"\npassword = { env = \"LIAR\" }\npool = { size = 1 }\n"+
			"[[grants]]\nto = \"alice\"\ndatabase = %[1]q\ntiers = [\"ro\"]\n",
			name, fakepg.Start(t, fakepg.Always(lie.Steps...)).Addr().Port())
		lies[name] = lie
	}
	p := lyingServer(t, fakepg.Always(login(), fakepg.ServeQueries("truth")), more.String())
	// Not t.Parallel, which runs as many as there are cores: each waits for the end of the time to log in.
	done := make(chan struct{})
	for name, lie := range lies {
		go func() {
			if err := logInAndAsk(p, name); err == nil || !strings.Contains(err.Error(), "SQLSTATE") {
				t.Errorf("%s: got %v, want an error with SQLSTATE", lie.Name, err)
			}
			done <- struct{}{}
		}()
	}
	honest := dial(t, p, "alice")
	for range 3 {
		if got := honest.ask("SELECT 1"); got != "columns row:truth SELECT 1 ready:I" {
			t.Errorf("the honest server's client got %q", got)
		}
	}
	for range lies {
		<-done
	}
}

func logInAndAsk(p *harness.Endpoint, database string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	alice := harness.Identity{Name: "alice"}
	conn, err := pgconn.Connect(ctx, p.DSNFor(url.UserPassword(alice.Name, alice.Password()), database))
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
		_ = conn.Close(ctx)
	}
	return err
}

// TestLies is a server that logs pgtier in and lies then: the client that it lies to gets an error at worst, and pgtier lives.
func TestLies(t *testing.T) {
	for _, lie := range append(fakepg.Lies(liarsPassword), moreLies()...) {
		if lie.Stage == fakepg.AtLogin {
			continue // TestLoginLies
		}
		t.Run(string(lie.Stage)+", "+lie.Name, func(t *testing.T) {
			more := ""
			if lie.Stage == fakepg.InAnswer {
				more = queryTimeout // some are silent
			}
			p := lyingServer(t, fakepg.Always(lie.Steps...), more)
			c := dial(t, p, "alice")
			got := c.ask("SELECT 1")
			switch {
			case lie.Opaque:
			case lie.Stage == fakepg.InAnswer:
				if !strings.Contains(got, "error") && !strings.HasSuffix(got, "end") {
					t.Errorf("the client believed %q", got)
				}
			default:
				for range 3 {
					if got != "columns row:truth SELECT 1 ready:I" {
						t.Errorf("got %q", got)
					}
					other := dial(t, p, "alice")
					got = other.ask("SELECT 2")
				}
			}
		})
	}
}

// TestLateCancel is a server that does not deal with a cancel request in time: its connection must not be lent to another
// client, whose query the request would hit when it arrives.
func TestLateCancel(t *testing.T) {
	cancelled := make(chan struct{})
	p := lyingServer(t, func(n int) []fakepg.Step {
		switch n {
		case 0:
			wait := func(*fakepg.Conn) error { <-cancelled; return nil }
			return []fakepg.Step{login(), fakepg.Expect('Q'), wait, fakepg.Send(fakepg.Answer("late")), fakepg.ServeQueries("hit by the cancel request")}
		case 1: // the cancel request, which nobody answers
			return []fakepg.Step{func(*fakepg.Conn) error { close(cancelled); return nil }, fakepg.Silence()}
		}
		return []fakepg.Step{login(), fakepg.ServeQueries("another connection")}
	}, "[timeouts]\ncancel_wait = \"200ms\"\n")
	a, b := dial(t, p, "alice"), dial(t, p, "alice")
	a.send(query("SELECT 1"))
	for sent := false; !sent; { // the query may not have reached the server when the first one comes
		a.cancel(p)
		select {
		case <-cancelled:
			sent = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	if got := a.answers(1); got != "columns row:late SELECT 1 ready:I" {
		t.Errorf("the cancelled client got %s", got)
	}
	if got := b.ask("SELECT 2"); got != "columns row:another connection SELECT 1 ready:I" {
		t.Errorf("the next client got %s", got)
	}
}
