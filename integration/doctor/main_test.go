// Package doctor tests that `pgtier doctor` finds what is broken on a real server, and that its fixes mend it. It has no
// code but tests.
package doctor

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Main(m)) }

// clinic is a server and what a configuration wants of it.
type clinic struct {
	t       testing.TB
	cluster *pgtest.Cluster
	epmt    *pgtest.EPMT
	admit   map[string]string // more lines of a tier, by its name
	more    string            // more of the configuration
	change  func(*config.Config)
}

func newClinic(t testing.TB) *clinic {
	t.Helper()
	cluster, epmt := testpg.Shared(t)
	return &clinic{t: t, cluster: cluster, epmt: epmt, admit: map[string]string{}}
}

// config is the demo's, as far as doctor is concerned.
func (c *clinic) config() *config.Config {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "config_version = 1\ninline_secrets = true\n[listen]\naddress = \"127.0.0.1:1\"\n")
	fmt.Fprintf(&b, "[servers.main]\nhost = \"127.0.0.1\"\nport = %d\nsslmode = \"disable\"\n", c.cluster.Port)
	fmt.Fprintf(&b, "[databases.EPMT]\nserver = \"main\"\ndefault_tier = \"ro\"\n")
	for _, tier := range []struct {
		name string
		pgtest.Account
	}{{"ro", c.epmt.RO}, {"rw", c.epmt.RW}, {"admin", c.epmt.Admin}} {
		fmt.Fprintf(&b, "[databases.EPMT.tiers.%s]\nlogin = %q\npassword = %q\n%s\n", tier.name, tier.Name, tier.Password, c.admit[tier.name])
	}
	for identity, tier := range map[string]string{"alice": "ro", "ingest": "rw", "migrate": "admin"} {
		fmt.Fprintf(&b, "[identities.%s]\npassword = \"x\"\n[[grants]]\nto = %q\ndatabase = \"EPMT\"\ntiers = [%q]\n", identity, identity, tier)
	}
	b.WriteString(c.more)
	cfg, findings := config.LoadBytes("test.toml", []byte(b.String()), func(string) (string, bool) { return "", false })
	if err := findings.Err(); err != nil {
		c.t.Fatal(err)
	}
	if c.change != nil {
		c.change(cfg)
	}
	return cfg
}

// connect logs in as a tier, as the shipped program does through package pool/server.
func connect(ctx context.Context, t *config.Tier, params map[string]string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=disable", t.Hosts[0], t.Port))
	if err != nil {
		return nil, err
	}
	cfg.Database, cfg.User, cfg.Password = t.DBName, t.Login, t.Passwords[0]
	cfg.RuntimeParams = map[string]string{}
	maps.Copy(cfg.RuntimeParams, t.Settings)
	maps.Copy(cfg.RuntimeParams, params)
	return pgconn.ConnectConfig(ctx, cfg)
}

func (c *clinic) examine() roles.Findings {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	findings, err := roles.Doctor(ctx, c.config(), nil, connect, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return findings
}

// sql runs statements as the superuser in EPMT: one after the other, in one session, as psql would.
func (c *clinic) sql(statements ...string) {
	c.t.Helper()
	c.sqlIn(c.epmt.Database, statements...)
}

func (c *clinic) sqlIn(database string, statements ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := c.cluster.Connect(ctx, database)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s).ReadAll(); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

// bad are the findings that are no notes, as "severity tier code".
func bad(findings roles.Findings) []string {
	var out []string
	for _, f := range findings {
		if f.Severity != roles.Note {
			out = append(out, fmt.Sprintf("%s %s %s", f.Severity, f.Tier, f.Code))
		}
	}
	slices.Sort(out)
	return out
}

func text(findings roles.Findings) string {
	var b strings.Builder
	_ = findings.WriteText(&b)
	return b.String()
}

// wantOnly fails unless the findings that are no notes are these.
func (c *clinic) wantOnly(findings roles.Findings, want ...string) {
	c.t.Helper()
	if got := bad(findings); !slices.Equal(got, want) {
		c.t.Errorf("found %q, want %q\n%s", got, want, text(findings))
	}
}
