package server

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/fakepg"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// passKey is what pgtier has of a client that has logged in with the password, as an identity with such a verifier.
func passKey(password, salt string) scram.PassKey {
	v := scram.Mint(password, []byte(salt), scram.DefaultIterations)
	pass, ok := secretOf(v).PassKey(clientKey(password, v))
	if !ok {
		panic("the key does not fit")
	}
	return pass
}

func secretOf(v scram.Verifier) *scram.Secret {
	s, err := scram.NewSecret(v)
	if err != nil {
		panic(err)
	}
	return s
}

// clientKey is RFC 5802, section 3: HMAC(Hi(password, salt, i), "Client Key").
func clientKey(password string, v scram.Verifier) *scram.ClientKey {
	salted, err := pbkdf2.Key(sha256.New, password, v.Salt(), v.Iterations(), sha256.Size)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, salted)
	mac.Write([]byte("Client Key"))
	return (*scram.ClientKey)(mac.Sum(nil))
}

// keyTarget is a Target for a scripted server, with a key instead of fakeTarget's password.
func keyTarget(addr string) Target {
	target := fakeTarget(addr)
	target.Passwords, target.Keys = nil, []scram.PassKey{passKey("secret word", "sixteen bytes...")}
	return target
}

// TestKeyLogin: a login with a key sends what one with a password does, and ends with the same connection.
func TestKeyLogin(t *testing.T) {
	var startup map[string]string
	server := fakepg.Start(t, fakepg.Always(
		fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word"}),
		func(c *fakepg.Conn) error { startup = c.Startup; return nil },
		fakepg.Welcome(), fakepg.Expect('Q'),
		fakepg.SendMessages(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("rolsuper")}}},
			&pgproto3.DataRow{Values: [][]byte{[]byte("f")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}),
		fakepg.Silence(),
	))
	target := keyTarget(server.Addr().String())
	target.AskSuperuser = true
	target.Params = map[string]string{"application_name": "pgtier"}
	c := mustConnect(t, target)
	want := map[string]string{"user": "epmt-rw", "database": "EPMT", "application_name": "pgtier"}
	if !reflect.DeepEqual(startup, want) {
		t.Errorf("startup packet %v, want %v", startup, want)
	}
	if c.PID != 4711 || c.Params["server_version"] != "15.18" || c.TLS != nil {
		t.Errorf("%+v %v", *c, c.Params)
	}
	if err := c.CancelTarget().Send(t.Context()); err != nil || server.Cancels() != 1 {
		t.Errorf("cancel: %v, %d arrived", err, server.Cancels())
	}
}

// TestServerWithoutTheVerifier: who cannot sign with the identity's verifier is not the server that it is for.
func TestServerWithoutTheVerifier(t *testing.T) {
	server := fakepg.Start(t, fakepg.Always(fakepg.LoginSCRAM(fakepg.Scram{Password: "secret word", Forged: true}), fakepg.Welcome(), fakepg.Silence()))
	e := mustFail(t, keyTarget(server.Addr().String()))
	if !e.Definite || !strings.Contains(e.Error(), "could not prove") || server.Accepted() != 1 {
		t.Errorf("%v, definite %v, %d connections", e, e.Definite, server.Accepted())
	}
}

// TestKeyLies: what only a login with a key has to look out for.
func TestKeyLies(t *testing.T) {
	ok := &pgproto3.AuthenticationOk{}
	sasl := &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}
	for name, messages := range map[string][]pgproto3.BackendMessage{
		"cleartext":             {&pgproto3.AuthenticationCleartextPassword{}},
		"md5":                   {&pgproto3.AuthenticationMD5Password{}},
		"PLUS only":             {&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256-PLUS"}}},
		"asks twice":            {sasl, sasl},
		"continues unasked":     {&pgproto3.AuthenticationSASLContinue{Data: []byte("r=x,s=AAAA,i=1")}},
		"ends unasked":          {&pgproto3.AuthenticationSASLFinal{Data: []byte("v=AAAA")}},
		"ends without a proof":  {sasl, &pgproto3.AuthenticationSASLFinal{Data: []byte("v=AAAA")}},
		"takes it without":      {sasl, ok},
		"asks after Ok":         {ok, sasl},
		"Ok twice":              {ok, ok},
		"parameters before Ok":  {&pgproto3.ParameterStatus{Name: "a", Value: "b"}},
		"a key before Ok":       {&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}}},
		"ready before Ok":       {&pgproto3.ReadyForQuery{TxStatus: 'I'}},
		"rows":                  {ok, &pgproto3.DataRow{Values: [][]byte{[]byte("x")}}},
		"more than was asked":   {ok, &pgproto3.ReadyForQuery{TxStatus: 'I'}, &pgproto3.NoticeResponse{Message: "x"}},
		"another version":       {&pgproto3.NegotiateProtocolVersion{}},
		"an error without code": {&pgproto3.ErrorResponse{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := fakepg.Start(t, fakepg.Always(fakepg.ExpectStartup(), fakepg.SendMessages(messages...), fakepg.HangUp()))
			e := mustFail(t, keyTarget(server.Addr().String()))
			if method := name == "cleartext" || name == "md5" || name == "PLUS only"; method != strings.Contains(e.Error(), "does not ask for SCRAM-SHA-256") {
				t.Error(e)
			}
		})
	}
}

// person is a role with a password whose verifier PostgreSQL has, and pgtier has a copy of.
func person(t *testing.T, cluster *pgtest.Cluster, name, password string) (scram.Verifier, *scram.ClientKey) {
	t.Helper()
	text, err := cluster.QueryText(t.Context(), "postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = '"+name+"'")
	if err != nil {
		t.Fatal(err)
	}
	v, err := scram.ParseVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	return v, clientKey(password, v)
}

func TestPassThroughToPostgres(t *testing.T) {
	cluster, _, base := startPostgres(t)
	v, key := person(t, cluster, "epmt-rw", "new word")
	good, _ := secretOf(v).PassKey(key)
	stale := passKey("old word", "sixteen bytes...")
	base.Passwords, base.Keys, base.AskSuperuser = nil, []scram.PassKey{good}, true
	for _, test := range []struct {
		name   string
		change func(*Target)
		want   string // part of the error; "" for none
	}{
		{"TLS", func(*Target) {}, ""},
		{"no TLS", func(t *Target) { t.SSLMode = "disable" }, ""},
		{"Unix socket", func(t *Target) { t.Hosts, t.Port = []string{cluster.SocketDir()}, cluster.Port }, ""},
		{"second of two", func(t *Target) { t.Keys = []scram.PassKey{stale, good} }, ""},
		{"another verifier", func(t *Target) { t.Keys = []scram.PassKey{stale} }, "or another verifier"},
		{"no such role", func(t *Target) { t.Login = "nobody" }, "no such role"},
		{"md5 verifier", func(t *Target) { t.Login = "old" }, "the only method"},
		{"pg_hba.conf says password", func(t *Target) { t.Login = "clear" }, "the only method"},
		{"pg_hba.conf says no", func(t *Target) { t.Login, t.SSLMode = "tls only", "disable" }, "28000"},
		{"no such database", func(t *Target) { t.Database = "none" }, "3D000"},
		{"CONNECT revoked", func(t *Target) { t.Database = "private" }, "42501"},
		{"bad setting", func(t *Target) { t.Params = map[string]string{"work_mem": "much"} }, "22023"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := base
			test.change(&target)
			if test.want != "" {
				if e := mustFail(t, target); !e.Definite || !strings.Contains(e.Error(), test.want) {
					t.Errorf("definite %v: %v", e.Definite, e)
				}
				return
			}
			c := mustConnect(t, target)
			if got := query(t, c, "SELECT concat(current_user, ' ', session_user)"); got != "epmt-rw epmt-rw" {
				t.Error(got)
			}
		})
	}
	t.Run("changed password", func(t *testing.T) {
		if err := cluster.Exec(t.Context(), "postgres", `ALTER ROLE "epmt-rw" PASSWORD 'newer word'`); err != nil {
			t.Fatal(err)
		}
		if e := mustFail(t, base); !e.Definite || !strings.Contains(e.Error(), "28P01") {
			t.Error(e)
		}
	})
}

// TestHiddenSuperuser: a person who is a superuser cannot hide it behind a setting of their role.
func TestHiddenSuperuser(t *testing.T) {
	cluster, certs, base := startPostgres(t)
	v, key := person(t, cluster, "boss", "new word")
	good, _ := secretOf(v).PassKey(key)
	if err := cluster.Exec(t.Context(), "postgres", `ALTER ROLE boss SET role = 'app'`); err != nil {
		t.Fatal(err)
	}
	base.Login, base.AskSuperuser = "boss", true
	if e := mustFail(t, base); !e.Definite || !strings.Contains(e.Error(), "is a superuser") {
		t.Errorf("by password: %v", e)
	}
	base.Passwords, base.Keys = nil, []scram.PassKey{good}
	if e := mustFail(t, base); !e.Definite || !strings.Contains(e.Error(), "is a superuser") {
		t.Errorf("by key: %v", e)
	}
	// A certificate and a key: which of them is used is for the server to say.
	base.Login = "certified"
	base.SSLCert, base.SSLKey = certs.issue(t, "certified", pgtest.Leaf{CommonName: "certified"})
	c := mustConnect(t, base)
	if got := query(t, c, "SELECT session_user"); got != "certified" {
		t.Error(got)
	}
}

// TestKeyLoginEnds: a login with a silent server ends with its context.
func TestKeyLoginEnds(t *testing.T) {
	addr, ctx := giveUpOn(t)
	_, err := Connect(ctx, keyTarget(addr))
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
}

// FuzzKeyLogin: whatever a server sends, a login with a key ends without a panic, and nobody who does not have the verifier gets
// further than to ask.
func FuzzKeyLogin(f *testing.F) {
	sasl := fakepg.Encode(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
	ok := fakepg.Encode(&pgproto3.AuthenticationOk{}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	f.Add(sasl)
	f.Add(append(sasl, ok...))
	f.Add(ok)
	f.Add(fakepg.Encode(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=abc,s=AAAA,i=1")}))
	f.Add([]byte("R\x00\x00\x00\x04"))
	f.Add([]byte{'E', 0, 0, 0, 5, 0})
	pass := passKey("secret word", "sixteen bytes...")
	f.Fuzz(func(t *testing.T, said []byte) {
		var out strings.Builder
		k := &keyLogin{
			front: pgproto3.NewFrontend(newGuard(strings.NewReader(string(said))), &out), scram: scram.NewClient(pass),
			result: &pgconn.HijackedConn{ParameterStatuses: map[string]string{}},
		}
		k.front.SetMaxBodyLen(maxLoginMessage)
		began := false
		for {
			m, err := k.front.Receive()
			if err != nil {
				break
			}
			if _, is := m.(*pgproto3.AuthenticationSASL); is {
				began = true
			}
			if err := k.take(m); err != nil {
				break
			}
		}
		if k.at == believed || k.at == in && began {
			t.Fatal("a server without the verifier was believed")
		}
	})
}
