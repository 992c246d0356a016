package attack

import (
	"context"
	"fmt"
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
		Pools:   map[string]string{"ro": "size = 1"}, More: more,
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

// TestLies is a server that lies: the client that it lies to gets an error at worst, and pgtier lives.
func TestLies(t *testing.T) {
	for _, lie := range append(fakepg.Lies(liarsPassword), moreLies()...) {
		if lie.Name == "accepts and is deaf" {
			continue // it holds a goroutine of the server's until the end of the test
		}
		t.Run(string(lie.Stage)+", "+lie.Name, func(t *testing.T) {
			p := lyingServer(t, fakepg.Always(lie.Steps...), "[timeouts]\nserver_connect = \"500ms\"\nlogin = \"1s\"\nquery = \"1s\"\n")
			if lie.Stage == fakepg.AtLogin {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				conn, err := pgconn.Connect(ctx, p.DSN("alice"))
				if err == nil {
					_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
					_ = conn.Close(ctx)
				}
				if err == nil || !strings.Contains(err.Error(), "SQLSTATE") {
					t.Errorf("got %v, want an error with SQLSTATE", err)
				}
				return
			}
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
