package roles

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
)

const epmt = `config_version = 1
inline_secrets = true
[listen]
address = "127.0.0.1:6432"
[servers.main]
host = "db"
[databases.EPMT]
server = "main"
default_tier = "ro"
[databases.EPMT.tiers.ro]
login = "epmt-ro"
password = "canary"
[databases.EPMT.tiers.rw]
login = "epmt-rw"
password = "canary"
role = "{identity}_{role}"
pool = { size = 3, reserve = 1 }
[identities]
ada = { password = "canary" }
bob = { password = "canary", disabled = true }
cleo = { password = "canary" }
[[grants]]
to = "ada"
database = "*"
tiers = ["rw"]
role = "clerk"
from = ["10.0.0.0/8"]
[[grants]]
to = "*"
database = "EPMT"
tiers = ["ro"]
[[grants]]
to = "cleo"
database = "EPMT"
tiers = ["rw"]
role = "boss"
expires = 2020-01-01T00:00:00Z
[[denies]]
to = "ada"
from = ["10.0.0.0/16"]
`

var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tiers returns what the configuration above wants, ro and rw.
func tiers(t *testing.T) (ro, rw *wanted) {
	t.Helper()
	cfg, findings := config.LoadBytes("test.toml", []byte(epmt), func(string) (string, bool) { return "", false })
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	all := wantedOf(cfg, auth.NewPolicy(cfg), today)
	if len(all) != 2 {
		t.Fatalf("%d tiers", len(all))
	}
	return all[0], all[1]
}

// Roles are those that somebody can get: not with an expired grant, and from anywhere that a rule allows.
func TestWanted(t *testing.T) {
	ro, rw := tiers(t)
	if len(ro.roles) != 0 || strings.Join(ro.sessionRoles(), " ") != "epmt-ro" {
		t.Errorf("ro: %q", ro.roles)
	}
	if strings.Join(rw.roles, " ") != "ada_clerk" || !rw.byIdentity() || !rw.above(ro) || ro.above(rw) {
		t.Errorf("rw: %q", rw.roles)
	}
	if ro.demand != 24 || ro.perLogin["epmt-rw"] != 4 || ro.perDatabase["EPMT"] != 24 {
		t.Errorf("connections: %d, %v, %v", ro.demand, ro.perLogin, ro.perDatabase)
	}
}

func TestLast(t *testing.T) {
	for prefix, want := range map[string]string{"10.0.0.0/8": "10.255.255.255", "10.1.2.3/32": "10.1.2.3", "fe80::/10": "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0/0": "255.255.255.255"} {
		if got := last(netip.MustParsePrefix(prefix)).String(); got != want {
			t.Errorf("last(%s) = %s, want %s", prefix, got, want)
		}
	}
}

// server is one on which nothing is wrong for the login.
func server(version int, login *role, more ...*role) *actual {
	login.OID, login.ConnectionLimit, login.Connect = 100, -1, true
	a := &actual{graph: newGraph(append(more, login), nil)}
	a.facts = facts{Version: version, VersionText: "x", MaxConnections: 100, Login: login.OID, Database: "EPMT", ConnectionLimit: -1}
	a.becomes, a.reaches = a.graph.becomes(login.OID), a.graph.reaches(login.OID)
	return a
}

func codes(f Findings) (out []string) {
	for _, x := range f {
		out = append(out, string(x.Severity)+" "+x.Code)
	}
	return out
}

func TestVersions(t *testing.T) {
	ro, rw := tiers(t)
	for version, want := range map[int]string{
		140014: "error server-role-bug", 140015: "", 150009: "error server-role-bug", 150010: "", 160005: "error server-role-bug", 160006: "",
		170001: "error server-role-bug", 170002: "", 180000: "", 190000: "",
		130018: "warning server-version error server-role-bug",
	} {
		c := &checkup{wanted: rw, actual: server(version, &role{Name: "epmt-rw"})}
		if c.version(); strings.Join(codes(c.out), " ") != want {
			t.Errorf("%d: %q, want %q", version, codes(c.out), want)
		}
		c = &checkup{wanted: ro, actual: server(version, &role{Name: "epmt-ro"})}
		if c.version(); len(c.out) > 0 && version > 140000 {
			t.Errorf("%d without a role: %q", version, codes(c.out))
		}
	}
}

// A superuser that the configuration accepts is noted, and nothing else is said: it can do everything.
func TestAcceptedSuperuser(t *testing.T) {
	ro, _ := tiers(t)
	ro.tier.AcceptSuperuser = true
	a := server(150020, &role{Name: "epmt-ro", Superuser: true, BypassRLS: true})
	if got := diff(ro, a, today); strings.Join(codes(got), ",") != "note superuser" {
		t.Errorf("%q", codes(got))
	}
}

// What a server says on refusing a login decides the fix; whatever it says is safe to print.
func TestLoginFailed(t *testing.T) {
	ro, _ := tiers(t)
	refusal := func(code, message string) error {
		return &pgconn.PgError{Severity: "FATAL", Code: code, Message: message}
	}
	for _, c := range []struct {
		err  error
		want string // in fix or hint
	}{
		{refusal("28P01", "x"), `\password "epmt-ro"`},
		{refusal("28000", `role "epmt-ro" is not permitted to log in`), `ALTER ROLE "epmt-ro" LOGIN;`},
		{refusal("28000", `role "epmt-ro" does not exist`), `CREATE ROLE "epmt-ro" LOGIN;`},
		{refusal("42501", `permission denied for database "EPMT"`), `GRANT CONNECT ON DATABASE "EPMT" TO "epmt-ro";`},
		{refusal("53300", `too many connections for role "epmt-ro"`), `ALTER ROLE "epmt-ro" CONNECTION LIMIT 20;`},
		{refusal("3D000", "x"), "renamed"},
		{errors.New("connection\x1b[2J refused"), "pg_hba.conf"},
	} {
		f := loginFailed(ro, c.err)
		if !strings.Contains(strings.Join(f.Fix, " ")+f.Hint, c.want) || !printable(f.What) {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

func TestReport(t *testing.T) {
	f := Findings{
		{Severity: Error, Code: "ro-write", Database: "EPMT", Tier: "ro", At: "pgtier.toml:9:1", What: "a has INSERT", Why: "bad",
			Fix: []string{"SET ROLE b;", "REVOKE c;"}, As: "a superuser"},
		{Severity: Note, Code: "x", Database: "E P", Tier: "rw", What: "w", Why: "y", Hint: "do z"},
	}
	var b strings.Builder
	if err := f.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	const want = `error   EPMT/ro ro-write: a has INSERT: bad
    as a superuser:
        SET ROLE b;
        REVOKE c;
note    "E P"/rw x: w: y
    do z
1 error, 0 warnings, 1 note
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	j, err := json.Marshal(f[:1])
	if err != nil || string(j) != `[{"severity":"error","code":"ro-write","database":"EPMT","tier":"ro","at":"pgtier.toml:9:1","what":"a has INSERT","why":"bad","fix":["SET ROLE b;","REVOKE c;"],"as":"a superuser"}]` {
		t.Errorf("%s, %v", j, err)
	}
	if !f.Bad() || f[1:].Bad() {
		t.Error("bad is errors and warnings")
	}
}

// Each measure has a reason of its own, by which its changes are told from others'; each version its functions.
func TestMeasures(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range measures {
		if m.why == "" || seen[m.why] {
			t.Errorf("%q is not one measure's reason", m.why)
		}
		seen[m.why] = true
	}
	for major, want := range map[int]string{14: "(boolean,text,bytea)", 16: "(boolean,text,bytea)", 17: "(boolean,text,bytea,boolean)", 18: "(boolean,text,bytea,boolean)"} {
		var got []string
		for _, c := range changes(major, "d", nil) {
			if args, ok := strings.CutPrefix(c.object, "FUNCTION pg_catalog.pg_logical_emit_message"); ok {
				got = append(got, args)
			}
		}
		if len(got) != 2 || got[1] != want {
			t.Errorf("%d: %q", major, got)
		}
	}
	locks := advisoryLocks()
	if len(locks) != 21 {
		t.Errorf("%d functions of advisory locks, PostgreSQL has 21", len(locks))
	}
}
