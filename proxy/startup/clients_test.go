package startup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// connect logs in with pgconn; the test plays the rest of the session. change may alter the client's configuration.
func connect(t *testing.T, cfg Config, network, dsn string, change func(*pgconn.Config)) (outcome, error) {
	t.Helper()
	t.Setenv("PGPASSFILE", "/dev/null")
	accepted, dialled := socketPair(t, network)
	done := beginOn(t, cfg, accepted, dialled)
	client, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	client.Fallbacks = nil
	client.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	client.DialFunc = func(context.Context, string, string) (net.Conn, error) { return dialled, nil }
	if change != nil {
		change(client)
	}
	result := make(chan outcome, 1)
	go func() {
		o := <-done
		if o.client != nil {
			welcome(o.client)
		}
		result <- o
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = pgconn.ConnectConfig(ctx, client)
	_ = dialled.Close()
	return <-result, err
}

// welcome does what a session does first.
func welcome(c *Client) {
	b := wire.AppendBackendKeyData(nil, 42, []byte("1234"))
	b = wire.AppendReadyForQuery(b, wire.Idle)
	if c.TLS != nil {
		_, _ = c.TLS.Write(b)
	} else {
		_, _ = c.Conn.Write(b)
	}
}

func TestPgconn(t *testing.T) {
	secure, ca := tlsConfig(t)
	plain := testConfig(t)
	_, _, migrate := ca.issue(t, "epmt-migrate", false)
	_, _, stranger := ca.issue(t, "stranger", false)
	_, _, foreign := newAuthority(t).issue(t, "epmt-migrate", false)
	trust := func(more ...tls.Certificate) func(*pgconn.Config) {
		return func(c *pgconn.Config) {
			c.TLSConfig = ca.clientTLS()
			c.TLSConfig.Certificates = more
		}
	}
	for _, test := range []struct {
		name   string
		cfg    Config
		dsn    string
		change func(*pgconn.Config)
		method string // "" = refused
		code   string // "" = not with an ErrorResponse
	}{
		{"password", plain, "user=alice password=secret sslmode=disable", nil, auth.MethodSCRAM, ""},
		{"second password", plain, "user=alice password='newer secret' sslmode=disable", nil, auth.MethodSCRAM, ""},
		{"wrong password", plain, "user=alice password=x sslmode=disable", nil, "", "28P01"},
		{"64 KB password", plain, "user=alice sslmode=disable password=" + strings.Repeat("x", 65536), nil, "", "28P01"},
		{"unknown", plain, "user=nobody password=secret sslmode=disable", nil, "", "28P01"},
		{"disabled", plain, "user=off password=secret sslmode=disable", nil, "", "28P01"},
		{"tier in the name", plain, "user=alice~rw password=secret sslmode=disable", nil, auth.MethodSCRAM, ""},
		{"tier not allowed", plain, "user=alice~admin password=secret sslmode=disable", nil, "", "28000"},
		{"protocol 3.2", plain, "user=alice password=secret sslmode=disable min_protocol_version=3.2", nil, auth.MethodSCRAM, ""},
		{"TLS, bound", secure, "user=alice password=secret sslmode=require channel_binding=require", trust(), auth.MethodSCRAMPlus, ""},
		{"TLS, not bound", secure, "user=alice password=secret sslmode=require channel_binding=disable", trust(), auth.MethodSCRAM, ""},
		{"TLS, wrong password", secure, "user=alice password=x sslmode=require", trust(), "", "28P01"},
		{"direct TLS", secure, "user=alice password=secret sslmode=require sslnegotiation=direct channel_binding=require", trust(), auth.MethodSCRAMPlus, ""},
		{"TLS is optional here", secure, "user=alice password=secret sslmode=disable", nil, auth.MethodSCRAM, ""},
		{"certificate", secure, "user=migrate sslmode=require", trust(migrate), auth.MethodCert, ""},
		{"certificate of somebody else", secure, "user=migrate sslmode=require", trust(stranger), "", "28P01"},
		{"certificate of a foreign CA", secure, "user=migrate sslmode=require", trust(foreign), "", ""},
		{"no certificate", secure, "user=migrate password=x sslmode=require", trust(), "", "28P01"},
		{"certificate and password of another", secure, "user=alice password=secret sslmode=require", trust(migrate), auth.MethodSCRAMPlus, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := connect(t, test.cfg, "tcp", "host=localhost database=EPMT "+test.dsn, test.change)
			var refused *pgconn.PgError
			switch {
			case test.method != "":
				if err != nil || o.client == nil || o.client.Identity.Method != test.method {
					t.Errorf("%s; client: %v", describe(o), err)
				}
			case o.client != nil || err == nil:
				t.Errorf("let in: %s; client: %v", describe(o), err)
			case errors.As(err, &refused) != (test.code != "") || refused != nil && refused.Code != test.code:
				t.Errorf("client: %v, want %s", err, test.code)
			}
		})
	}
}

func TestClientIsComplete(t *testing.T) {
	o, err := connect(t, testConfig(t), "tcp", "host=localhost database=EPMT user=alice~rw password=secret sslmode=disable", func(c *pgconn.Config) {
		c.RuntimeParams = map[string]string{
			"application_name": "", "options": `-c work_mem=1MB --search-path=a\ b,\\c -c pgtier.tier=read-write`, "pgtier.tier": "rw", "replication": "off",
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := o.client
	want := []Param{{"work_mem", "1MB"}, {"search_path", `a b,\c`}, {"application_name", ""}}
	if !reflect.DeepEqual(c.Params, want) {
		t.Errorf("parameters %q", c.Params)
	}
	if c.Identity.Name != "alice" || c.Decision.Asked != "rw" || c.Protocol != protocol30 || !c.Addr.Addr().IsLoopback() || c.TLS != nil {
		t.Errorf("%+v", c)
	}
	fd, err := c.Conn.Detach() // nothing was read ahead, and the descriptor can be had
	if err != nil || fd < 0 {
		t.Error(fd, err)
	}
	_ = c.Conn.Close()
}

func TestPeer(t *testing.T) {
	me := osUser(t)
	cfg := testConfig(t)
	ids := map[string]*config.Identity{"me": {Name: "me", Peer: me}, "other": {Name: "other", Peer: me + "x"}}
	var err error
	if cfg.Credentials, err = auth.NewCredentials(&config.Config{Identities: ids}, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ network, name, method string }{
		{"unix", "me", auth.MethodPeer}, {"unix", "other", ""}, {"tcp", "me", ""},
	} {
		o, err := connect(t, cfg, test.network, "host=localhost database=EPMT sslmode=disable password=x user="+test.name, nil)
		if test.method == "" && (err == nil || o.client != nil) {
			t.Errorf("%+v was let in", test)
		} else if test.method != "" && (err != nil || o.client.Identity.Method != test.method || o.client.Addr.IsValid()) {
			t.Errorf("%+v: %s, %v", test, describe(o), err)
		}
	}
}

// TestAuthorisationOnlyAfterAuthentication: whoever cannot prove who they are learns nothing about tiers or databases (G3).
func TestAuthorisationOnlyAfterAuthentication(t *testing.T) {
	for _, test := range []struct{ dsn, code string }{
		{"user=alice database=none", pgerr.InvalidCatalogName},
		{"user=alice~admin database=EPMT", pgerr.InvalidAuthorization},
		{"user=alice~amdin database=EPMT", pgerr.InvalidAuthorization},
		{"user=alice~ database=EPMT", pgerr.InvalidAuthorization},
		{"user=alice~rw database=EPMT options='-c pgtier.tier=ro'", pgerr.InvalidAuthorization},
		{"user=alice database=EPMT options='-c pgtier.tier=ro -c pgtier.tier=rw'", pgerr.InvalidAuthorization},
	} {
		for password, code := range map[string]string{"secret": test.code, "wrong": pgerr.InvalidPassword} {
			o, err := connect(t, testConfig(t), "tcp", "host=localhost sslmode=disable "+test.dsn+" password="+password, nil)
			var refused *pgconn.PgError
			if o.client != nil || !errors.As(err, &refused) || refused.Code != code || refused.Severity != "FATAL" {
				t.Errorf("%s, %s password: %v, want %s", test.dsn, password, err, code)
			}
			if code == pgerr.InvalidPassword && refused != nil && refused.Message != `password authentication failed for user "alice"` {
				t.Errorf("%s", refused.Message)
			}
		}
	}
}

// TestPsql is libpq's turn, over TCP with TLS and channel binding and over a Unix socket with peer.
func TestPsql(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	cfg, ca := tlsConfig(t)
	me := osUser(t)
	ids := map[string]*config.Identity{"alice": {Name: "alice", Passwords: []string{"pass wörd\u200b"}}, "me": {Name: "me", Peer: me}}
	if cfg.Credentials, err = auth.NewCredentials(&config.Config{Identities: ids}, nil); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	local, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.6432"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }()
	port := tcp.Addr().(*net.TCPAddr).Port
	for _, test := range []struct {
		dsn      string
		password string
		listener net.Listener
		want     string // in psql's output
	}{
		{fmt.Sprintf("host=localhost hostaddr=127.0.0.1 port=%d user=alice~rw sslmode=verify-full channel_binding=require sslrootcert=%s", port, ca.ca()), "pass wörd\u200b", tcp, auth.MethodSCRAMPlus + " rw"},
		{fmt.Sprintf("host=127.0.0.1 port=%d user=alice sslmode=disable options='-c pgtier.tier=rw'", port), "pass wörd ", tcp, auth.MethodSCRAM + " rw"},
		{fmt.Sprintf("host=127.0.0.1 port=%d user=alice sslmode=require", port), "wrong", tcp, `FATAL:  password authentication failed for user "alice"`},
		{fmt.Sprintf("host=%s port=6432 user=me", dir), "", local, auth.MethodPeer + " ro"},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			answerPsql(test.listener, New(cfg))
		}()
		cmd := exec.Command(psql, "-XAtw", "-c", "select 1", test.dsn+" dbname=EPMT connect_timeout=20")
		cmd.Env = append(os.Environ(), "PGPASSWORD="+test.password, "PGPASSFILE=/dev/null", "PGCLIENTENCODING=UTF8", "PGSSLCERT=/dev/null/none")
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %q, want %q", test.dsn, out, test.want)
		}
		<-done
	}
}

// answerPsql logs one client in and answers one query with a notice that says who it is.
func answerPsql(listener net.Listener, acceptor *Acceptor) {
	nc, err := listener.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, _, err := acceptor.Accept(ctx, nc)
	if err != nil {
		return
	}
	defer func() { _ = client.Conn.Close() }()
	var stream net.Conn = client.Conn
	if client.TLS != nil {
		stream = client.TLS
	}
	welcome(client)
	buffer := make([]byte, 1024)
	if _, err := stream.Read(buffer); err != nil {
		return
	}
	who := pgerr.New("00000", "%s %s", client.Identity.Method, client.Decision.Asked)
	answer := append(who.AppendNotice(nil), wire.EmptyQueryResponse, 0, 0, 0, 4)
	_, _ = stream.Write(wire.AppendReadyForQuery(answer, wire.Idle))
	_, _ = stream.Read(buffer) // Terminate
}
