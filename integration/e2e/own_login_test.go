package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// people is a database in which everybody logs in to PostgreSQL as themselves: ann by what she proves (SCRAM pass-through), bob
// by the password that pgtier's configuration has, cleo by a certificate.
type people struct {
	*harness.Endpoint
	cluster *pgtest.Cluster
	options harness.Options
	more    string // options.More without the identities
	scrams  map[string]string
}

const crowdOfOwn = 30

func newPeople(t *testing.T) *people {
	dir, err := os.MkdirTemp("", "pgtier-people-") // not t.TempDir: PostgreSQL, another account, reads the authority
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	authority, err := pgtest.NewAuthority("people")
	must(t, err)
	cert, key, err := authority.Issue(pgtest.Leaf{CommonName: "cleo"})
	must(t, err)
	must(t, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "ca.crt"), authority.CertPEM, 0o644),
		os.WriteFile(filepath.Join(dir, "cleo.crt"), cert, 0o644), os.WriteFile(filepath.Join(dir, "cleo.key"), key, 0o600)))
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{TLS: true, Settings: map[string]string{"ssl_ca_file": filepath.Join(dir, "ca.crt")},
		HBA: []string{"hostssl people cleo 127.0.0.1/32 cert"}})
	p := &people{cluster: cluster, scrams: map[string]string{}}
	for _, name := range []string{"ann", "bob", "cleo", "boss", "ann2", "eve"} {
		p.person(t, name)
	}
	for i := range crowdOfOwn {
		p.person(t, fmt.Sprintf("c%02d", i))
	}
	p.sql(t, pgtest.Superuser, "ALTER ROLE boss SUPERUSER; ALTER ROLE ann SET work_mem = '5MB'; CREATE ROLE staff; GRANT staff TO ann")
	p.sql(t, pgtest.Superuser, "CREATE DATABASE people")
	p.sql(t, "people", `CREATE TABLE notes (owner name DEFAULT current_user, v text);
		INSERT INTO notes VALUES ('ann', 'a'), ('ann', 'b'), ('bob', 'c');
		ALTER TABLE notes ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON notes USING (owner = current_user); GRANT SELECT ON notes TO PUBLIC`)
	p.more = `
[databases.people]
server = "main"
tiers = { rw = { isolation = "login", role = "{identity}", pool = { size = 5, per_identity = 1 } } }
[databases.certified]
server = "main"
dbname = "people"
[databases.certified.tiers.rw]
isolation = "login"
role = "{identity}"
sslcert = "` + dir + `/{role}.crt"
sslkey = "` + dir + `/{role}.key"
[databases.same]
server = "main"
dbname = "people"
tiers = { rw = { isolation = "login", role = "{role}" } }
[[grants]]
to = "*"
database = "people"
tiers = ["rw"]
[[grants]]
to = "*"
database = "certified"
tiers = ["rw"]
[[grants]]
to = "*"
database = "same"
tiers = ["rw"]
role = "ann"
[identities.bob]
password = { env = "BOB" }
[limits]
per_identity = 20
`
	p.scrams["ann2"] = p.scrams["ann"] // two people with one password, and with one role in database "same"
	p.options = harness.Options{Cluster: cluster, EPMT: epmt, Env: map[string]string{"BOB": "word of bob"},
		Server: fmt.Sprintf("sslmode = \"verify-full\"\nsslrootcert = %q", cluster.CAFile)}
	return p
}

// person makes a role, and gives the identity of the same name the verifier that PostgreSQL has.
func (p *people) person(t *testing.T, name string) {
	t.Helper()
	v := scram.Mint("word of "+name, scram.NewSalt(), scram.DefaultIterations).Encode()
	p.scrams[name] = v
	p.sql(t, pgtest.Superuser, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, v))
}

func (p *people) sql(t *testing.T, database, sql string) {
	t.Helper()
	must(t, p.cluster.Exec(t.Context(), database, sql))
}

// written is the options with the identities as they are now.
func (p *people) written() harness.Options {
	o := p.options
	o.More = p.more
	for name, v := range p.scrams {
		if name != "bob" {
			o.More += fmt.Sprintf("[identities.%s]\nscram = %q\n", name, v)
		}
	}
	return o
}

func (p *people) start(t *testing.T) *harness.Proxy {
	proxy := harness.Start(t, p.written())
	p.Endpoint = proxy.Endpoint
	return proxy
}

func (p *people) dsn(name, database string) string {
	word := "word of " + name
	if name == "ann2" {
		word = "word of ann"
	}
	return p.DSNFor(url.UserPassword(name, word), database)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const whoAmI = "SELECT pg_catalog.concat(session_user, ' ', current_user, ' ', (SELECT count(*) FROM public.notes))"

// TestOwnLogins: each by their own way in, PostgreSQL itself keeps them apart.
func TestOwnLogins(t *testing.T) {
	p := newPeople(t)
	p.start(t)
	for _, c := range []struct{ name, database, want string }{
		{"ann", "people", "ann ann 2"}, {"bob", "people", "bob bob 1"}, {"cleo", "certified", "cleo cleo 0"}, {"cleo", "people", ""},
		{"ann", "certified", ""}, {"boss", "people", ""},
	} {
		t.Run(c.name+" in "+c.database, func(t *testing.T) {
			conn, err := tryConnect(t, p.dsn(c.name, c.database))
			if c.want == "" {
				wantError(t, err, "28000", "PostgreSQL did not let", "log of pgtier")
				return
			}
			must(t, err)
			wantAnswer(t, conn, whoAmI, c.want)
			for _, sql := range []string{
				"RESET ROLE", "SET ROLE NONE", "SET ROLE bobby", "SET ROLE eve", "SET SESSION AUTHORIZATION eve", "RESET SESSION AUTHORIZATION",
				"SELECT set_config('role', 'eve', false)", "SELECT set_config('session_authorization', 'eve', false)", "DISCARD ALL",
				"DO $$ BEGIN EXECUTE 'SET ROLE eve'; END $$", "ALTER ROLE eve PASSWORD 'x'", "GRANT eve TO " + c.name,
			} {
				_, _ = conn.Exec(deadline(t), sql, pgx.QueryExecModeSimpleProtocol) // refused or not, nothing comes of it
				wantAnswer(t, conn, whoAmI, c.want)
			}
		})
	}
	ann := connect(t, p.dsn("ann", "people"))
	wantAnswer(t, ann, "SHOW work_mem", "5MB") // ALTER ROLE ann SET: she has logged in herself
	wantAnswer(t, ann, "SHOW pgtier.role", "ann")
	wantAnswer(t, ann, "BEGIN; SET LOCAL ROLE staff; SELECT current_user::text", "staff") // a membership of hers is her right
	exec(t, ann, "COMMIT")
	wantAnswer(t, ann, whoAmI, "ann ann 2")
}

// TestOwnPools: two people whose template comes to the same role do not have each other's connections, even with one password.
func TestOwnPools(t *testing.T) {
	p := newPeople(t)
	p.start(t)
	ann := connect(t, p.dsn("ann", "same"))
	server := ask(t, ann, "SELECT pg_backend_pid()")
	wantAnswer(t, ann, "SELECT pg_backend_pid()", server)
	ann2 := connect(t, p.dsn("ann2", "same"))
	wantAnswer(t, ann2, whoAmI, "ann ann 2")
	if ask(t, ann2, "SELECT pg_backend_pid()") == server {
		t.Error("somebody else was lent the connection that ann logged in")
	}
	// Who has another password is told so by PostgreSQL, whoever is in already.
	_, err := tryConnect(t, p.dsn("eve", "same"))
	wantError(t, err, "28000", `did not let "ann" log in`)
	wantAnswer(t, ann, "SELECT pg_backend_pid()", server)
}

// TestOwnCrowd: thirty people on five connections: all are served, and PostgreSQL never has more than five of theirs.
func TestOwnCrowd(t *testing.T) {
	p := newPeople(t)
	p.start(t)
	admin, err := pgx.Connect(deadline(t), p.cluster.SuperuserURL("people"))
	must(t, err)
	t.Cleanup(func() { closeConn(admin) })
	var wg sync.WaitGroup
	for i := range crowdOfOwn {
		name := fmt.Sprintf("c%02d", i)
		conn := connect(t, p.dsn(name, "people"))
		wg.Go(func() {
			for range 5 {
				if got, err := tryAsk(deadline(t), conn, "SELECT concat(session_user, ' ', current_user)"); err != nil || got != name+" "+name {
					t.Errorf("%s is answered %q, %v", name, got, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	most := 0
	for served := false; !served; {
		select {
		case <-done:
			served = true
		default:
		}
		// A backend that has been told to end may still be listed while the next one starts: what counts is who is not ending.
		n, err := strconv.Atoi(ask(t, admin, "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'c__' AND backend_type = 'client backend'"))
		must(t, err)
		most = max(most, n)
	}
	if most > 5 {
		t.Errorf("PostgreSQL had %d connections of a tier with five", most)
	}
}

// TestOwnPasswordChanges: in PostgreSQL, then in pgtier.
func TestOwnPasswordChanges(t *testing.T) {
	p := newPeople(t)
	d := harness.Spawn(t, p.written())
	p.Endpoint = d.Endpoint
	old := connect(t, p.dsn("ann", "people"))
	wantAnswer(t, old, whoAmI, "ann ann 2")

	// PostgreSQL has another one now: what is open stays open, and the next login says what is wrong.
	v := scram.Mint("new word", scram.NewSalt(), scram.DefaultIterations).Encode()
	p.sql(t, pgtest.Superuser, "ALTER ROLE ann PASSWORD '"+v+"'")
	wantAnswer(t, old, whoAmI, "ann ann 2")
	p.sql(t, pgtest.Superuser, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
	harness.Eventually(t, "her connection is gone", func() bool {
		n, err := p.cluster.QueryText(t.Context(), pgtest.Superuser, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann'")
		return err == nil && n == "0"
	})
	var err error
	harness.Eventually(t, "the next login is refused", func() bool { // one query may still find the connection that was ended
		var conn *pgx.Conn
		if conn, err = tryConnect(t, p.dsn("ann", "people")); err == nil {
			_, err = conn.Exec(deadline(t), "SELECT 1")
		}
		return err != nil && strings.Contains(err.Error(), "28000")
	})
	wantError(t, err, "28000", `PostgreSQL did not let "ann" log in`, "the password that you gave pgtier")
	harness.Eventually(t, "the log says why", func() bool {
		return strings.Contains(d.Log(), "28P01") && strings.Contains(d.Log(), "or another verifier")
	})

	// pgtier gets it too: who comes with the new one is let in at once, although the old one has just been refused.
	p.scrams["ann"] = v
	if !d.Reload(p.written()) {
		t.Fatal("the reload was refused")
	}
	_, err = tryConnect(t, p.dsn("ann", "people"))
	wantError(t, err, "28P01")
	ann := connect(t, p.DSNFor(url.UserPassword("ann", "new word"), "people"))
	wantAnswer(t, ann, whoAmI, "ann ann 2")

	// A verifier that is replaced while its owner is in: the session ends, and so do the connections that it has opened.
	before := ask(t, ann, "SELECT pg_backend_pid()")
	p.person(t, "newcomer") // makes the file different in something else as well
	p.scrams["ann"] = scram.Mint("newest word", scram.NewSalt(), scram.DefaultIterations).Encode()
	if !d.Reload(p.written()) {
		t.Fatal("the reload was refused")
	}
	_, err = ann.Exec(deadline(t), "SELECT 1")
	wantError(t, err, "57P01", "its password has changed")
	harness.Eventually(t, "the connection of the old password is gone", func() bool {
		n, err := p.cluster.QueryText(t.Context(), pgtest.Superuser, "SELECT count(*) FROM pg_stat_activity WHERE pid = "+before)
		return err == nil && n == "0"
	})
	for _, word := range []string{"word of ann", "new word", "newest word"} {
		if strings.Contains(d.Log(), word) {
			t.Errorf("the log has the password %q", word)
		}
	}
}

// TestOwnRules: what PostgreSQL says about a role holds, since it is the role that logs in.
func TestOwnRules(t *testing.T) {
	p := newPeople(t)
	p.start(t)
	for _, c := range []struct{ name, sql, code string }{
		{"c00", "ALTER ROLE c00 NOLOGIN", "28000"},
		{"c01", "ALTER ROLE c01 VALID UNTIL '2000-01-01'", "28000"},
		{"c02", "REVOKE CONNECT ON DATABASE people FROM PUBLIC", "42501"},
	} {
		p.sql(t, pgtest.Superuser, c.sql)
		_, err := tryConnect(t, p.dsn(c.name, "people"))
		wantError(t, err, c.code)
	}
}
