package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/fakepg"
)

// TestLies: whatever a server does, the login ends with an error, in time.
func TestLies(t *testing.T) {
	lies := fakepg.Lies("secret word")
	lies = append(lies,
		fakepg.Lie{Name: "notices without end", Stage: fakepg.AtLogin, Steps: flood(fakepg.Frame('N', "SNOTICE\x00\x00"))},
		fakepg.Lie{Name: "settings without end", Stage: fakepg.AtLogin, Steps: flood(fakepg.Frame('S', "a\x00b\x00"))},
		fakepg.Lie{Name: "password requests without end", Stage: fakepg.AtLogin, Steps: flood(fakepg.Frame('R', "\x00\x00\x00\x05salt"))},
		fakepg.Lie{Name: "ready before it is logged in", Stage: fakepg.AtLogin, Steps: []fakepg.Step{
			fakepg.ExpectStartup(), fakepg.Welcome(), fakepg.Silence(),
		}},
		fakepg.Lie{Name: "AuthenticationOk instead of SASLFinal", Stage: fakepg.AtLogin, Steps: []fakepg.Step{
			fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word", Early: true}), fakepg.Welcome(), fakepg.Silence(),
		}},
		fakepg.Lie{Name: "SCRAM with ten million iterations", Stage: fakepg.AtLogin, Steps: []fakepg.Step{
			fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word", Iterations: "10000000"}), fakepg.Welcome(),
		}},
	)
	for _, lie := range lies {
		if lie.Stage != fakepg.AtLogin || lie.Name == "AuthenticationOk before SASLFinal" {
			continue // that one is told in a way of its own: its script expects a query afterwards
		}
		for _, with := range []struct {
			what   string
			target func(addr string) Target
		}{{"password", fakeTarget}, {"key", keyTarget}} {
			t.Run(lie.Name+"/"+with.what, func(t *testing.T) {
				t.Parallel()
				server := fakepg.Start(t, fakepg.Always(lie.Steps...))
				target := with.target(server.Addr().String())
				if lie.Endless {
					target.ConnectTimeout = 200 * time.Millisecond
				}
				e := mustFail(t, target)
				if lie.Endless && e.Definite {
					t.Errorf("a timeout is definite: %v", e)
				}
			})
		}
	}
}

func flood(frame []byte) []fakepg.Step {
	return []fakepg.Step{fakepg.ExpectStartup(), func(c *fakepg.Conn) error {
		chunk := []byte(strings.Repeat(string(frame), 1000))
		for {
			if _, err := c.Write(chunk); err != nil {
				return err
			}
		}
	}}
}

// TestGiveUp: a cancelled context ends a login with a silent server.
func TestGiveUp(t *testing.T) {
	addr, ctx := giveUpOn(t)
	if c, err := Connect(ctx, fakeTarget(addr)); err == nil {
		c.Close()
		t.Fatal("connected")
	}
}

// giveUpOn starts a server that falls silent behind the startup message, and returns a context that ends then.
func giveUpOn(t *testing.T) (addr string, ctx context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	server := fakepg.Start(t, fakepg.Always(fakepg.ExpectStartup(), func(*fakepg.Conn) error {
		cancel()
		return nil
	}, fakepg.Silence()))
	return server.Addr().String(), ctx
}

// TestHonest: what the server said arrives, and nothing is left unread.
func TestHonest(t *testing.T) {
	var startup map[string]string
	server := fakepg.Start(t, fakepg.Always(
		fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word"}),
		func(c *fakepg.Conn) error { startup = c.Startup; return nil },
		fakepg.Welcome(), fakepg.Silence(),
	))
	target := fakeTarget(server.Addr().String())
	target.Params = map[string]string{"application_name": "pgtier", "search_path": "a, b"}
	c := mustConnect(t, target)
	want := map[string]string{"user": "epmt-rw", "database": "EPMT", "application_name": "pgtier", "search_path": "a, b"}
	if !reflect.DeepEqual(startup, want) {
		t.Errorf("startup packet %v, want %v", startup, want)
	}
	if c.PID != 4711 || c.Params["server_version"] != "15.18" || c.Addr != server.Addr().String() || c.TLS != nil {
		t.Errorf("%+v %v", *c, c.Params)
	}
	if err := c.CancelTarget().Send(t.Context()); err != nil || server.Cancels() != 1 {
		t.Errorf("cancel: %v, %d arrived", err, server.Cancels())
	}
	if _, err := c.Net.Detach(); err != nil {
		t.Error(err)
	}
}

const childAddr = "PGTIER_TEST_CHILD_ADDR"

// TestChild is the child of TestHostileEnvironment: a process that starts with such an environment.
func TestChild(t *testing.T) {
	addr := os.Getenv(childAddr)
	if addr == "" {
		t.Skip("only as a child")
	}
	mustConnect(t, fakeTarget(addr))
	if os.Getenv("PGSERVICE") != "evil" {
		t.Error("the environment has changed")
	}
}

// TestHostileEnvironment: nothing of the environment or the home directory reaches a login.
func TestHostileEnvironment(t *testing.T) {
	var startups []map[string]string
	server := fakepg.Start(t, fakepg.Always(
		fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word"}),
		func(c *fakepg.Conn) error { startups = append(startups, c.Startup); return nil },
		fakepg.Welcome(), fakepg.Silence(),
	))
	home := t.TempDir()
	for name, text := range map[string]string{
		".pgpass":              "*:*:*:*:wrong\n",
		".pg_service.conf":     "[evil]\nhost=192.0.2.1\nuser=evil\nsslmode=verify-full\n",
		".postgresql/root.crt": "no certificate",
	} {
		path := filepath.Join(home, name)
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childAddr+"="+server.Addr().String(), "HOME="+home,
		"PGHOST=192.0.2.1", "PGPORT=nonsense", "PGDATABASE=evil", "PGUSER=evil", "PGPASSWORD=evil", "PGPASSFILE="+home+"/.pgpass",
		"PGSERVICE=evil", "PGSERVICEFILE=/nonexistent", "PGSSLMODE=verify-full", "PGSSLCERT=/nonexistent", "PGSSLKEY=/nonexistent",
		"PGSSLROOTCERT=/nonexistent", "PGSSLCERTMODE=require", "PGSSLNEGOTIATION=direct", "PGOPTIONS=-c role=evil",
		"PGAPPNAME=evil", "PGTZ=evil", "PGCONNECT_TIMEOUT=nonsense", "PGTARGETSESSIONATTRS=standby", "PGCHANNELBINDING=require",
		"PGREQUIREAUTH=none", "PGMINPROTOCOLVERSION=3.2", "PGMAXPROTOCOLVERSION=nonsense", "PGSSLPASSWORD=evil", "PGSSLSNI=0")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestChild") {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{"user": "epmt-rw", "database": "EPMT"}
	if len(startups) != 1 || !reflect.DeepEqual(startups[0], want) {
		t.Errorf("startup packets %v, want %v", startups, want)
	}
}

// TestEveryFieldIsSet fails when pgconn.Config gets a field that config() does not know: somebody must look at where
// its value comes from.
func TestEveryFieldIsSet(t *testing.T) {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(`Host Port Database User Password TLSConfig ConnectTimeout DialFunc LookupFunc
		BuildFrontend MaxProtocolMessageBodyLen BuildContextWatcherHandler RuntimeParams KerberosSrvName KerberosSpn Fallbacks
		SSLNegotiation SSLCertMode AfterNetConnect ValidateConnect AfterConnect OnPgError OnNotice OnNotification
		OAuthTokenProvider MinProtocolVersion MaxProtocolVersion ChannelBinding RequireAuth createdByParseConfig`) {
		known[name] = true
	}
	for field := range reflect.TypeFor[pgconn.Config]().Fields() {
		if !known[field.Name] {
			t.Errorf("pgconn.Config.%s is new: set it in config()", field.Name)
		}
	}
}

// TestSecretsAreNotPrinted by any verb, nor by a logger that reflects.
func TestSecretsAreNotPrinted(t *testing.T) {
	target := fakeTarget("db1.example")
	pass := passKey("secret word", "sixteen bytes...")
	target.Keys = []scram.PassKey{pass}
	raw := []byte(pass.Client[:])
	cancel := CancelTarget{network: "tcp", addr: "db1.example:5432", pid: 42, key: []byte("cancelkey")}
	conn := &Conn{cancel: cancel}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{target, &target, cancel, &cancel, conn, []Target{target}} {
			text := fmt.Sprintf(format, v)
			for _, secret := range []string{"secret word", fmt.Sprintf("%x", "secret word"), "cancelkey", fmt.Sprintf("%x", "cancelkey"), "99 97 110", string(raw), fmt.Sprintf("%x", raw), fmt.Sprint(raw)} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of %T: %s", format, v, text)
				}
			}
		}
	}
	if b, err := target.MarshalJSON(); err != nil || strings.Contains(string(b), "secret word") {
		t.Errorf("%s %v", b, err)
	}
}

// TestServerRepeatsPassword: a server that was given the password in clear says it in its error.
func TestServerRepeatsPassword(t *testing.T) {
	const socket = "/.s.PGSQL.5432"
	text := fakepg.Encode(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "3D000", Message: `no database "secret word"`})
	dir := t.TempDir()
	listenUnix(t, dir+socket, fakepg.Frame('R', "\x00\x00\x00\x03"), text)
	target := fakeTarget(dir)
	e := mustFail(t, target)
	if e.Public == nil || e.Public.Message != `no database "***"` || !e.Definite {
		t.Errorf("%v, %+v", e, e.Public)
	}
}
