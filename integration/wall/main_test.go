// Package wall attacks the wall between roles and between tiers: a table of attacks is sent through pgtier at each isolation
// level, in the simple protocol, in the extended one and pipelined, and what it has reached is found by probing. It has no
// code but tests.
//
// PGTIER_WALL_DOC=docs/security.md makes the run write its table into that file; the path is taken from the repository's
// root.
package wall

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

func TestMain(m *testing.M) { harness.Main(m) }

var (
	//go:embed testdata/roles.sql
	rolesSQL string
	//go:embed testdata/database.sql
	databaseSQL string
	//go:embed testdata/sandbox.sql
	sandboxSQL string
)

// level is one way to give identities their roles, with a database and logins of its own.
type level struct {
	name     string // of the database too
	title    string // in docs/security.md
	tier     string // lines of the tier rw
	hardened bool
	strict   bool // no attack may reach anybody

	asIdentity bool // server connections are logged in as the identity itself
}

var levels = []level{
	{name: "wall_role", title: "`role`", tier: `isolation = "role"`},
	{name: "wall_shared", title: "`shared`", tier: `isolation = "shared"`},
	{name: "wall_guarded", title: "`shared` + `guard`, hardened", tier: "isolation = \"shared\"\nguard = true", hardened: true, strict: true},
	{name: "wall_login", title: "`login`", tier: `isolation = "login"`, strict: true, asIdentity: true},
}

func (l level) login() string { return "px_" + l.name }

// guarded reports whether statements are looked at.
func (l level) guarded() bool { return strings.Contains(l.tier, "guard = true") }

// session is the session_user of an identity's server connections.
func (l level) session(identity string) string {
	if l.asIdentity {
		return identity
	}
	return l.login()
}

const password = "wall" // of logins and identities: nothing here is a secret

// lab is the databases of all levels, and a pgtier in front of them.
type lab struct {
	t     testing.TB
	proxy *harness.Proxy
	admin map[string]*pgconn.PgConn // the superuser's, by level

	people map[string]string // verifiers, which PostgreSQL has as well: they may log in to it as themselves
}

func newLab(t testing.TB) *lab {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{Settings: map[string]string{"max_connections": "200"}})
	b := &lab{t: t, admin: map[string]*pgconn.PgConn{}}
	must(t, cluster.Exec(t.Context(), pgtest.Superuser, rolesSQL))
	for _, l := range levels {
		b.createLevel(cluster, l)
	}
	v := scram.Mint(password, scram.NewSalt(), harness.FewIterations).Encode()
	b.people = map[string]string{"bob": v, "carol": v, "dave": v}
	b.proxy = harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, More: wallConfig(b.people), Env: map[string]string{"WALL": password}})
	b.people["alice"] = b.proxy.Verifier("alice")
	b.passwords(levels[0])
	return b
}

// passwords gives people the passwords that they have in pgtier: their own ones they may change.
func (b *lab) passwords(l level) {
	for name, v := range b.people {
		b.sql(l, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", name, v))
	}
}

func (b *lab) createLevel(c *pgtest.Cluster, l level) {
	b.t.Helper()
	for login, members := range map[string]string{l.login(): "alice, bob", l.login() + "_ro": "carol", l.login() + "_admin": "app_owner"} {
		must(b.t, c.Exec(b.t.Context(), pgtest.Superuser, fmt.Sprintf(`CREATE ROLE %s LOGIN NOINHERIT PASSWORD '%s'; GRANT %s TO %[1]s`, login, password, members)))
	}
	must(b.t, c.Exec(b.t.Context(), pgtest.Superuser, "CREATE DATABASE "+l.name))
	must(b.t, c.Exec(b.t.Context(), l.name, databaseSQL))
	conn, err := pgconn.Connect(b.t.Context(), c.SuperuserURL(l.name))
	must(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	b.admin[l.name] = conn
	b.sql(l, sandboxSQL)
	if l.hardened {
		h := roles.Hardening{Database: l.name, Keep: []string{l.login() + "_admin"}}
		must(b.t, h.Apply(b.t.Context(), conn, &strings.Builder{}))
	}
}

// sql runs statements as the superuser and returns the first column of the last result's rows.
func (b *lab) sql(l level, sql string) (rows []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results, err := b.admin[l.name].Exec(ctx, sql).ReadAll()
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	for _, row := range results[len(results)-1].Rows {
		rows = append(rows, string(row[0]))
	}
	return rows
}

// wallConfig has a database for each level, with a pool of one connection for those who attack each other.
func wallConfig(people map[string]string) string {
	var b strings.Builder
	for _, l := range levels {
		fmt.Fprintf(&b, "[databases.%s]\nserver = \"main\"\ndefault_tier = \"rw\"\n", l.name)
		for _, t := range []struct{ name, login, role, more string }{
			{"rw", l.login(), "{identity}", l.tier},
			{"ro", l.login() + "_ro", "{identity}", l.tier + "\nsettings = { default_transaction_read_only = \"on\" }"},
			{"admin", l.login() + "_admin", "app_owner", ""},
		} {
			if l.asIdentity && t.name != "admin" {
				// Two of them, because alice and bob cannot share one. The template of ro has to be another one than that of rw.
				role := map[string]string{"rw": "{identity}", "ro": "{role}"}[t.name]
				fmt.Fprintf(&b, "[databases.%s.tiers.%s]\npool = { size = 2, per_identity = 1, mode = \"transaction\" }\nrole = %q\n%s\n", l.name, t.name, role, t.more)
				continue
			}
			fmt.Fprintf(&b, "[databases.%s.tiers.%s]\nlogin = %q\npassword = { env = \"WALL\" }\npool = { size = 1, mode = \"transaction\" }\nrole = %q\n%s\n",
				l.name, t.name, t.login, t.role, t.more)
		}
		for _, g := range []struct{ to, tier string }{{"alice", "rw"}, {"bob", "rw"}, {"carol", "ro"}, {"dave", "admin"}} {
			fmt.Fprintf(&b, "[[grants]]\nto = %q\ndatabase = %q\ntiers = [%q]\ndefault = %[3]q\n", g.to, l.name, g.tier)
			if l.asIdentity && g.tier == "ro" {
				fmt.Fprintf(&b, "role = %q\n", g.to)
			}
		}
	}
	for name, v := range people { // alice is one of the harness's
		fmt.Fprintf(&b, "[identities.%s]\nscram = %q\n", name, v)
	}
	return b.String()
}

// patience is how long an answer may take before it counts as missing.
const patience = 30 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
