package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// query sends one query over c and returns the first value of its answer.
func query(t *testing.T, c *Conn, sql string) string {
	t.Helper()
	front := pgproto3.NewFrontend(c.Net, c.Net)
	if c.TLS != nil {
		front = pgproto3.NewFrontend(c.TLS, c.TLS)
	}
	front.SendQuery(&pgproto3.Query{String: sql})
	if err := front.Flush(); err != nil {
		t.Fatal(err)
	}
	value := ""
	for {
		m, err := front.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			value = string(m.Values[0])
		case *pgproto3.ErrorResponse:
			value = "ERROR " + m.Code
		case *pgproto3.ReadyForQuery:
			return value
		}
	}
}

const accounts = `
	CREATE ROLE "epmt-rw" LOGIN PASSWORD 'new word';
	CREATE ROLE "tls only" LOGIN PASSWORD 'new word';
	CREATE ROLE "never tls" LOGIN PASSWORD 'new word';
	CREATE ROLE clear LOGIN PASSWORD 'new word';
	CREATE ROLE certified LOGIN;
	SET password_encryption = 'md5';
	CREATE ROLE old LOGIN PASSWORD 'new word';
	RESET password_encryption;
	CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'new word';
	CREATE ROLE app;
	GRANT app TO "epmt-rw", boss;
	CREATE DATABASE closed ALLOW_CONNECTIONS false;
	CREATE DATABASE private;
	REVOKE CONNECT ON DATABASE private FROM PUBLIC;`

// startPostgres starts a server with TLS and the accounts, and returns a Target for epmt-rw.
func startPostgres(t *testing.T) (*pgtest.Cluster, *certificates, Target) {
	t.Helper()
	certs := newCertificates(t)
	cluster := testpg.Start(t, pgtest.Options{
		TLS: true, Settings: map[string]string{"ssl_ca_file": certs.ca},
		HBA: []string{
			`hostssl   all "tls only"  127.0.0.1/32 scram-sha-256`, `hostnossl all "tls only"  127.0.0.1/32 reject`,
			`hostnossl all "never tls" 127.0.0.1/32 scram-sha-256`, `hostssl   all "never tls" 127.0.0.1/32 reject`,
			`host      all clear       127.0.0.1/32 password`, `hostssl all certified 127.0.0.1/32 cert`,
			`host      all old         127.0.0.1/32 md5`,
		},
	})
	for sql := range strings.SplitSeq(accounts, ";") { // CREATE DATABASE wants to be alone
		if err := cluster.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.Exec(t.Context(), "postgres", `SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'new word'`); err != nil {
		t.Fatal(err)
	}
	return cluster, certs, Target{
		Hosts: []string{fmt.Sprintf("127.0.0.1:%d", cluster.Port)}, Database: "postgres", Login: "epmt-rw",
		Passwords: []string{"new word"}, SSLMode: "verify-full", SSLRootCert: cluster.CAFile, ConnectTimeout: patience,
	}
}

func TestPostgres(t *testing.T) {
	cluster, certs, base := startPostgres(t)
	with := func(change func(*Target)) Target {
		target := base
		change(&target)
		return target
	}
	t.Run("TLS and SCRAM", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Params = map[string]string{"statement_timeout": "7s"} }))
		if c.TLS == nil || c.PID == 0 || c.Params["session_authorization"] != "epmt-rw" {
			t.Errorf("%v %v", c, c.Params)
		}
		if got := query(t, c, "SHOW statement_timeout"); got != "7s" {
			t.Error(got)
		}
	})
	t.Run("Unix socket", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Hosts, t.Port = []string{cluster.SocketDir()}, cluster.Port }))
		if c.TLS != nil || c.Addr != fmt.Sprintf("%s/.s.PGSQL.%d", cluster.SocketDir(), cluster.Port) {
			t.Errorf("%v", c)
		}
	})
	t.Run("rotated password", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Passwords = []string{"old word", "new word"} }))
		if c.Password != 1 {
			t.Errorf("password %d", c.Password)
		}
		c = mustConnect(t, with(func(t *Target) { t.Passwords, t.FirstPassword = []string{"old word", "new word"}, 1 }))
		if c.Password != 1 {
			t.Errorf("password %d", c.Password)
		}
	})
	t.Run("first host down", func(t *testing.T) {
		mustConnect(t, with(func(t *Target) { t.Hosts = []string{"127.0.0.1:1", "/nonexistent", t.Hosts[0]} }))
	})
	t.Run("md5", func(t *testing.T) {
		mustConnect(t, with(func(t *Target) { t.Login, t.SSLMode, t.SSLRootCert = "old", "disable", "" }))
	})
	t.Run("password in clear over TLS", func(t *testing.T) {
		mustConnect(t, with(func(t *Target) { t.Login = "clear" }))
	})
	t.Run("allow finds TLS", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Login, t.SSLMode, t.SSLRootCert = "tls only", "allow", "" }))
		if c.TLS == nil {
			t.Error("no TLS")
		}
	})
	t.Run("prefer finds plain", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Login, t.SSLMode, t.SSLRootCert = "never tls", "prefer", "" }))
		if c.TLS != nil {
			t.Error("TLS")
		}
	})
	t.Run("client certificate", func(t *testing.T) {
		cert, key := certs.issue(t, "client", pgtest.Leaf{CommonName: "certified"})
		mustConnect(t, with(func(t *Target) { t.Login, t.Passwords, t.SSLCert, t.SSLKey = "certified", nil, cert, key }))
	})
	t.Run("superuser accepted", func(t *testing.T) {
		mustConnect(t, with(func(t *Target) { t.Login, t.AcceptSuperuser = "boss", true }))
	})
	t.Run("role", func(t *testing.T) {
		c := mustConnect(t, with(func(t *Target) { t.Params = map[string]string{"role": "app"} }))
		if got := query(t, c, "SELECT current_user"); got != "app" {
			t.Error(got)
		}
	})
	t.Run("refusals", func(t *testing.T) { testRefusals(t, with) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, cluster, base) })
}

func testRefusals(t *testing.T, with func(func(*Target)) Target) {
	for _, test := range []struct {
		name   string
		change func(*Target)
		code   string // of Public; "" = none
		says   string
		passes bool // waiters wait
	}{
		{"wrong password", func(t *Target) { t.Passwords = []string{"stale 1", "stale 2"} }, "28P01", "password authentication failed", false},
		{"no password", func(t *Target) { t.Passwords = nil }, "", "none is configured", false},
		{"unknown login", func(t *Target) { t.Login = "nobody" }, "28P01", "", false},
		{"not in pg_hba.conf", func(t *Target) { t.Login = "never tls" }, "28000", "pg_hba.conf", false},
		{"no such database", func(t *Target) { t.Database = "Postgres" }, "3D000", `"Postgres"`, false},
		{"no CONNECT", func(t *Target) { t.Database = "private" }, "42501", "permission denied", false},
		{"closed database", func(t *Target) { t.Database = "closed" }, "55000", "", false},
		{"unknown setting", func(t *Target) { t.Params = map[string]string{"nonsense": "1"} }, "42704", "nonsense", false},
		{"bad value", func(t *Target) { t.Params = map[string]string{"statement_timeout": "soon"} }, "22023", "soon", false},
		{"no such role", func(t *Target) { t.Params = map[string]string{"role": "nobody"} }, "22023", "", false},
		{"superuser", func(t *Target) { t.Login = "boss" }, "", "accept_superuser", false},
		{"superuser behind a role", func(t *Target) {
			t.Login, t.Params = "boss", map[string]string{"ROLE": "app"}
		}, "", "accept_superuser", false},
		{"password in clear", func(t *Target) { t.Login, t.SSLMode, t.SSLRootCert = "clear", "disable", "" }, "", "in clear", false},
		{"nobody listens", func(t *Target) { t.Hosts = []string{"127.0.0.1:1"} }, "", "refused", true},
		{"no socket", func(t *Target) { t.Hosts = []string{"/nonexistent"} }, "", "/nonexistent/.s.PGSQL.5432", true},
		{"bad host", func(t *Target) { t.Hosts = []string{"db:x"} }, "", `"db:x"`, false},
		{"replication", func(t *Target) { t.Params = map[string]string{"Replication": "1"} }, "", "Replication", false},
		{"half a client certificate", func(t *Target) { t.SSLCert = "x" }, "", "sslkey", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := mustFail(t, with(test.change))
			code := ""
			if e.Public != nil {
				code = e.Public.Code
			}
			if code != test.code || e.Definite == test.passes || !strings.Contains(e.Error(), test.says) {
				t.Errorf("code %q, definite %v: %v", code, e.Definite, e)
			}
			if strings.HasPrefix(code, "28") && strings.Contains(e.Public.Message, "epmt-rw") {
				t.Errorf("the login is shown to the client: %v", e.Public)
			}
		})
	}
}

// testCancel cancels over TLS, as the connection has TLS.
func testCancel(t *testing.T, cluster *pgtest.Cluster, target Target) {
	c := mustConnect(t, target)
	cancel := c.CancelTarget()
	running := make(chan string)
	go func() { running <- query(t, c, "SELECT pg_sleep(60)") }()
	await := fmt.Sprintf(`SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'`, c.PID)
	for n := ""; n != "1"; {
		var err error
		if n, err = cluster.QueryText(t.Context(), "postgres", await); err != nil {
			t.Fatal(err)
		}
	}
	if err := cancel.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-running; got != "ERROR 57014" {
		t.Error(got)
	}
	// Whoever presents another certificate now gets no key.
	wrong := cancel
	wrong.tls = cancel.tls.Clone()
	wrong.tls.ServerName = "elsewhere"
	if err := wrong.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("cancel to another server: %v", err)
	}
	if err := (CancelTarget{}).Send(context.Background()); err == nil {
		t.Error("the zero CancelTarget was sent")
	}
}
