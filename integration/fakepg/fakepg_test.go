package fakepg_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/pgtier/pgtier/integration/fakepg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "s3cret"

func dial(t *testing.T, s *fakepg.Server, password string) (*pgconn.PgConn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgresql://fake:%s@%s/db?sslmode=prefer", password, s.Addr()))
	if err == nil {
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

func TestHonest(t *testing.T) {
	for name, login := range map[string]fakepg.Step{
		"trust": fakepg.Login(),
		"SCRAM": fakepg.All(fakepg.LoginSCRAM(fakepg.Scram{Password: password}), fakepg.Welcome()),
	} {
		s := fakepg.Start(t, fakepg.Always(login, fakepg.ServeQueries("hello")))
		conn, err := dial(t, s, password)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 2 {
			results, err := conn.Exec(t.Context(), "SELECT").ReadAll()
			if err != nil || string(results[0].Rows[0][0]) != "hello" {
				t.Errorf("%s: %v, %v", name, results, err)
			}
		}
		if err := conn.CancelRequest(t.Context()); err != nil {
			t.Error(err)
		}
		if s.Startups() != 1 || s.Cancels() != 1 {
			t.Errorf("%s: %d logins and %d cancels", name, s.Startups(), s.Cancels())
		}
	}
}

// TestLies tells each lie to a client of pgx. What pgx makes of it is not the point: each script must run as it is
// written, which the server itself reports.
func TestLies(t *testing.T) {
	seen := map[string]bool{}
	for _, lie := range fakepg.Lies(password) {
		if seen[lie.Name] {
			t.Errorf("two lies are called %q", lie.Name)
		}
		seen[lie.Name] = true
		if lie.Endless || strings.Contains(lie.Name, "2^31") {
			continue // nothing to see without a proxy's timeouts and bounds
		}
		t.Run(lie.Name, func(t *testing.T) {
			t.Parallel() // most end with the client's patience
			s := fakepg.Start(t, fakepg.Always(lie.Steps...))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgresql://fake:%s@%s/db?sslmode=disable", password, s.Addr()))
			if err != nil {
				if lie.Stage != fakepg.AtLogin {
					t.Errorf("login failed: %v", err)
				}
				return
			}
			// After a bogus ReadyForQuery pgx waits for ever, whatever its context says.
			defer context.AfterFunc(ctx, func() { conn.Conn().Close() })()
			_, err = conn.Exec(ctx, "SELECT").ReadAll()
			if lie.Stage == fakepg.WhenIdle && err != nil {
				t.Errorf("the honest answer failed: %v", err)
			}
			conn.Close(ctx)
		})
	}
}

func TestSurprise(t *testing.T) {
	fail := &recorder{TB: t}
	s := fakepg.Start(fail, fakepg.Always(fakepg.Login(), fakepg.Expect('P')))
	conn, err := dial(t, s, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT").ReadAll(); err == nil {
		t.Error("a surprised server answered")
	}
	fail.cleanup()
	if !strings.Contains(fail.said, `got a frame of type 'Q'`) {
		t.Errorf("the server said %q", fail.said)
	}
}

func TestReset(t *testing.T) {
	s := fakepg.Start(t, fakepg.Always(fakepg.Reset()))
	nc, err := net.Dial("tcp", s.Addr().String())
	if err == nil {
		defer nc.Close()
		_, err = nc.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "reset by peer") {
		t.Errorf("got %v", err)
	}
}

// recorder is a testing.TB that keeps what a server has to say about its client.
type recorder struct {
	testing.TB
	cleanup func()
	said    string
}

func (r *recorder) Cleanup(f func())                  { r.cleanup = f }
func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }
