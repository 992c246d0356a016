package e2e

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

const insertUser = "INSERT INTO users VALUES ('tier test') ON CONFLICT DO NOTHING"

// TestTiersWithPsql is the promise of the README: point a DSN at pgtier and get the right tier.
func TestTiersWithPsql(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	options := "options=-c pgtier.tier=rw"

	psql(t, p, p.DSN("alice"), "SELECT count(*) FROM jobs").want(t, "12")
	psql(t, p, p.DSN("alice"), insertUser).wantFailure(t, "42501", "permission denied")
	psql(t, p, p.DSN("alice"), "BEGIN; "+insertUser+"; COMMIT").wantFailure(t, "42501", "permission denied")
	psql(t, p, p.DSN("ingest~rw"), insertUser).want(t, "")
	psql(t, p, p.DSN("ingest", options), insertUser).want(t, "")
	psql(t, p, p.DSN("ingest~read-write"), insertUser).want(t, "")
	psql(t, p, p.DSN("ingest"), insertUser).want(t, "")
	psql(t, p, p.DSN("ingest~ro"), insertUser).wantFailure(t, "42501", "permission denied")

	psql(t, p, p.DSN("migrate"),
		"DROP TABLE IF EXISTS made_later", "CREATE TABLE made_later (n int)", "INSERT INTO made_later VALUES (7)").want(t, "")
	psql(t, p, p.DSN("alice"), "SELECT n FROM made_later").want(t, "7")
	psql(t, p, p.DSN("alice"), "DELETE FROM made_later").wantFailure(t, "42501", "permission denied")
	psql(t, p, p.DSN("ingest"), "UPDATE made_later SET n = 8").want(t, "")
	psql(t, p, p.DSN("ingest"), "DROP TABLE made_later").wantFailure(t, "42501", "must be owner")
	psql(t, p, p.DSN("migrate"), "DROP TABLE made_later").want(t, "")

	psql(t, p, p.DSN("alice~admin"), "SELECT 1").
		wantFailure(t, `permission denied: "alice" may not use tier "admin" on database "EPMT"`, `Allowed: ro. Ask for one with user "alice~ro".`)
}

func TestCurrentUserAndShow(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, c := range []struct{ user, tier, login string }{
		{"alice", "ro", "epmt-ro"}, {"alice~ro", "ro", "epmt-ro"}, {"alice~read-only", "ro", "epmt-ro"},
		{"ingest", "rw", "epmt-rw"}, {"ingest~ro", "ro", "epmt-ro"}, {"ops~rw", "rw", "epmt-rw"},
		{"migrate", "admin", "epmt-admin"}, {"ops~admin", "admin", "epmt-admin"}, {"ops", "ro", "epmt-ro"},
	} {
		identity, _, _ := strings.Cut(c.user, "~")
		psql(t, p, p.DSN(c.user), "SELECT current_user || ' ' || session_user", "SHOW pgtier.tier", "SHOW pgtier.identity", "SHOW pgtier.role").
			want(t, c.login+" "+c.login+"\n"+c.tier+"\n"+identity+"\n"+c.login)
	}
	conn := connect(t, p.DSN("alice"))
	if server := ask(t, conn, "SHOW pgtier.server;"); !strings.Contains(server, "127.0.0.1") {
		t.Errorf("SHOW pgtier.server says %q", server)
	}
	var tier string
	if err := conn.QueryRow(deadline(t), "show pgtier.tier").Scan(&tier); err != nil || tier != "ro" {
		t.Errorf("SHOW pgtier.tier as a prepared statement says %q, %v", tier, err)
	}
}

func TestAskingByParameter(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, dsn := range []string{
		p.DSN("ops", "pgtier.tier=rw"),
		p.DSN("ops", "options=-c pgtier.tier=rw"),
		p.DSN("ops", "options=--pgtier.tier=rw"),
		p.DSN("ops~rw", "options=-c pgtier.tier=rw", "pgtier.tier=read-write"),
	} {
		wantAnswer(t, connect(t, dsn), "SELECT current_user", "epmt-rw")
	}
}

func TestRefusals(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, c := range []struct {
		name, dsn, code string
		words           []string
	}{
		{"tier not allowed", p.DSN("alice~rw"), "28000", []string{`"alice" may not use tier "rw"`, "Allowed: ro."}},
		{"unknown tier", p.DSN("alice~amdin"), "28000", []string{`tier "amdin" does not exist`, "Tiers: ro, rw, admin."}},
		{"empty tier", p.DSN("alice~"), "28000", nil},
		{"asked twice", p.DSN("ops~rw", "options=-c pgtier.tier=ro"), "28000", []string{`tier asked twice: "rw" in the user name, "ro" in options`}},
		{"asked twice by parameter", p.DSN("ops~rw", "pgtier.tier=ro"), "28000", []string{"tier asked twice"}},
		{"case", p.DSNFor(url.UserPassword("alice", "alice-demo"), "epmt"), "3D000",
			[]string{`database "epmt" does not exist`, `Names are case-sensitive: did you mean "EPMT"?`}},
		{"no such database", p.DSNFor(url.UserPassword("alice", "alice-demo"), "nowhere"), "3D000", []string{`"nowhere"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tryConnect(t, c.dsn)
			wantError(t, err, c.code, c.words...)
		})
	}
}

// TestUnknownIsIndistinguishable is guarantee G3: what is told apart after authentication only is not told to strangers.
func TestUnknownIsIndistinguishable(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	texts := make(map[string]bool)
	for _, u := range []*url.Userinfo{
		url.UserPassword("alice", "wrong"),
		url.UserPassword("alice~admin", "wrong"),
		url.UserPassword("alice~amdin", "wrong"),
		url.UserPassword("nobody", "wrong"),
		url.UserPassword("retired", "retired-demo"),
		url.UserPassword("retired", "wrong"),
	} {
		for _, database := range []string{"EPMT", "nowhere"} {
			_, err := tryConnect(t, p.DSNFor(u, database))
			e := wantError(t, err, "28P01", "password authentication failed for user")
			name, _, _ := strings.Cut(u.Username(), "~")
			texts[strings.ReplaceAll(e.Severity+e.Code+e.Message+e.Detail+e.Hint, `"`+name+`"`, "NAME")] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("refusals differ: %q", slices.Collect(maps.Keys(texts)))
	}
}

// TestOverride is the rule that EPMT's users know: EPMT_DB_URL, set and not empty, replaces the credential whole.
func TestOverride(t *testing.T) {
	tiers := map[string]string{"admin": `override_env = "EPMT_DB_URL"`}
	t.Run("unset", func(t *testing.T) {
		p := harness.Start(t, harness.Options{Tiers: tiers})
		wantAnswer(t, connect(t, p.DSN("migrate")), "SELECT current_user", "epmt-admin")
	})
	t.Run("empty", func(t *testing.T) {
		p := harness.Start(t, harness.Options{Tiers: tiers, Env: map[string]string{"EPMT_DB_URL": ""}})
		wantAnswer(t, connect(t, p.DSN("migrate")), "SELECT current_user", "epmt-admin")
	})
	t.Run("set", func(t *testing.T) {
		base := harness.Start(t, harness.Options{})
		exec(t, superuser(t, base.Endpoint), `DROP ROLE IF EXISTS "other-admin"; CREATE ROLE "other-admin" LOGIN PASSWORD 's3cret'`)
		exec(t, superuser(t, base.Endpoint), `GRANT CONNECT ON DATABASE "EPMT" TO "other-admin"`)
		p := harness.Start(t, harness.Options{Tiers: tiers, Env: map[string]string{
			"EPMT_DB_URL": base.Cluster.URL("other-admin", "s3cret", "EPMT"),
		}})
		wantAnswer(t, connect(t, p.DSN("migrate")), "SELECT current_user", "other-admin")
		wantAnswer(t, connect(t, p.DSN("alice")), "SELECT current_user", "epmt-ro")
	})
	t.Run("malformed stops the daemon, and is not shown", func(t *testing.T) {
		for _, value := range []string{"sqlite:///s3cret.db", "postgresql://u:s3cret@h:notaport/EPMT", "postgresql://u:s3cret@h/epmt"} {
			out, code := harness.Refused(t, harness.Options{Tiers: tiers, Env: map[string]string{"EPMT_DB_URL": value}})
			if code != 78 || !strings.Contains(out, "EPMT_DB_URL") || strings.Contains(out, "s3cret") {
				t.Errorf("exit code %d, %s", code, out)
			}
		}
	})
}

// TestClientSideOverride: the same variable as EPMT's own programs use it.
func TestClientSideOverride(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, c := range []struct{ url, want string }{
		{"", "epmt-ro"}, {p.DSN("ingest~rw"), "epmt-rw"}, {p.DSN("migrate~admin"), "epmt-admin"},
	} {
		dsn := p.DSN("alice")
		if c.url != "" {
			dsn = c.url
		}
		psql(t, p, dsn, "SELECT current_user").want(t, c.want)
	}
}
