package auth

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

const policyHead = `config_version = 1
inline_secrets = true
[listen]
address = "127.0.0.1:6432"
[servers.main]
host = "db"
`

// policyText has every sort of rule. Its line numbers are in testdata/explain.txt.
const policyText = policyHead + `
[databases.EPMT]
server = "main"
default_tier = "ro"
[databases.EPMT.tiers]
ro    = { login = "epmt-ro", password = "x", timeouts = { query = "30s" }, limits = { connections = 10 } }
rw    = { login = "epmt-rw", password = "x", role = "epmt_writer" }
admin = { override_env = "EPMT_DB_URL", url = "postgresql://epmt-admin:x@db/EPMT" }

[databases.bare]
server = "main"
tiers = { ro = { login = "bare-ro", password = "x" }, rw = { login = "bare-rw", password = "x" } }

[identities]
alice   = { password = "x", attributes = { department = ["sales", "support"] } }
ingest  = { password = "x" }
migrate = { password = "x" }
ops     = { password = "x" }
quentin = { password = "x", attributes = { status = "quarantine" } }
gone    = { password = "x", disabled = true }

[groups]
analysts = ["alice", "quentin"]
sales    = ["alice"]

[[grants]]
to = "@analysts"
database = "EPMT"
tiers = ["ro"]
[[grants]]
to = "ingest"
database = "EPMT"
tiers = ["ro", "rw"]
default = "rw"
[[grants]]
to = "migrate"
database = "EPMT"
tiers = ["admin"]
default = "admin"
from = ["10.20.0.0/16", "fd00::/8"]
expires = 2027-12-31T23:59:59Z
limits = { session = "30m", connections = 2 }
[[grants]]
to = "ops"
database = "*"
tiers = ["ro", "rw", "admin"]
timeouts = { query = "10s" }
[[grants]]
to = "ops"
database = "EPMT"
tiers = ["ro"]
timeouts = { query = "20s", idle_transaction = "5s" }
expires = 2026-06-30T00:00:00Z
[[grants]]
to = "@sales"
database = "bare"
tiers = ["ro"]
when = { department = "support" }
[[grants]]
to = "*"
database = "bare"
tiers = ["rw"]
from = ["127.0.0.0/8"]
when = { department = "nobody" }

[[denies]]
to = "*"
when = { status = ["quarantine", "suspended"] }
[[denies]]
to = "ops"
database = "EPMT"
tiers = ["admin"]
from = ["fe80::/10", "192.0.2.0/24"]
[[denies]]
to = "migrate"
from = ["198.51.100.0/24"]

[console]
admins = ["@sales", "migrate"]
observers = ["ops", "@analysts", "gone"]
`

var today = time.Date(2026, 1, 2, 12, 30, 0, 0, time.UTC)

func policyOf(t testing.TB, text string, env map[string]string) *Policy {
	t.Helper()
	// The file's name is fixed, because Explain says it.
	cfg, findings := config.LoadBytes(filepath.FromSlash("/etc/pgtier.toml"), []byte(text), func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	return NewPolicy(cfg)
}

// said is an error as a client sees it.
func said(e *pgerr.Error) string {
	s := e.Severity + " " + e.Code + " " + e.Message
	if e.Hint != "" {
		s += " / " + e.Hint
	}
	return s
}

func TestResolve(t *testing.T) {
	p := policyOf(t, policyText, nil)
	for _, c := range []struct {
		identity, database, asked, from string
		want                            string
	}{
		{"alice", "EPMT", "", "192.0.2.1", "ro as epmt-ro"},
		{"alice", "EPMT", "ro", "192.0.2.1", "ro as epmt-ro"},
		{"alice", "EPMT", "admin", "192.0.2.1",
			`FATAL 28000 permission denied: "alice" may not use tier "admin" on database "EPMT" / Allowed: ro. Ask for one with user "alice~ro".`},
		{"ingest", "EPMT", "", "", "rw as epmt-rw role epmt_writer"},
		{"ingest", "EPMT", "ro", "", "ro as epmt-ro"},
		{"ingest", "EPMT", "admin", "",
			`FATAL 28000 permission denied: "ingest" may not use tier "admin" on database "EPMT" / Allowed: ro, rw. Ask for one with user "ingest~ro".`},
		{"ingest", "bare", "", "", `FATAL 28000 permission denied: "ingest" has no access to database "bare"`},
		{"ingest", "epmt", "", "", `FATAL 3D000 database "epmt" does not exist / Names are case-sensitive: did you mean "EPMT"?`},
		{"ingest", "EPM", "", "", `FATAL 3D000 database "EPM" does not exist / Did you mean "EPMT"?`},
		{"ingest", "Bare", "", "", `FATAL 3D000 database "Bare" does not exist`}, // exists, but not for ingest
		{"quentin", "epmt", "", "", `FATAL 3D000 database "epmt" does not exist`},
		{"migrate", "EPMT", "", "10.20.255.1", "admin as epmt-admin"},
		{"migrate", "EPMT", "", "::ffff:10.20.1.1", "admin as epmt-admin"},
		{"migrate", "EPMT", "", "fd00::1%eth0", "admin as epmt-admin"},
		{"migrate", "EPMT", "", "10.21.0.1", `FATAL 28000 permission denied: "migrate" has no access to database "EPMT"`},
		{"migrate", "EPMT", "", "", `FATAL 28000 permission denied: "migrate" has no access to database "EPMT"`},
		{"ops", "EPMT", "admin", "", "admin as epmt-admin"},
		{"ops", "EPMT", "", "", "ro as epmt-ro"},
		{"ops", "EPMT", "admin", "192.0.2.77",
			`FATAL 28000 permission denied: "ops" may not use tier "admin" on database "EPMT" / Allowed: ro, rw. Ask for one with user "ops~ro".`},
		{"ops", "EPMT", "admin", "fe80::1%eth0",
			`FATAL 28000 permission denied: "ops" may not use tier "admin" on database "EPMT" / Allowed: ro, rw. Ask for one with user "ops~ro".`},
		{"ops", "bare", "", "",
			`FATAL 28000 permission denied: "ops" must ask for a tier on database "bare" / Allowed: ro, rw. Ask for one with user "ops~ro".`},
		{"ops", "bare", "admin", "",
			`FATAL 28000 permission denied: "ops" may not use tier "admin" on database "bare" / Allowed: ro, rw. Ask for one with user "ops~ro".`},
		{"alice", "bare", "", "", "ro as bare-ro"},
		{"quentin", "EPMT", "", "", `FATAL 28000 permission denied: "quentin" has no access to database "EPMT"`},
		{"gone", "EPMT", "", "", `FATAL 28P01 password authentication failed for user "gone"`},
		{"nobody", "EPMT", "", "", `FATAL 28P01 password authentication failed for user "nobody"`},
		{"Alice", "EPMT", "", "", `FATAL 28P01 password authentication failed for user "Alice"`},
		{"@analysts", "EPMT", "", "", `FATAL 28P01 password authentication failed for user "@analysts"`},
		{"*", "EPMT", "", "", `FATAL 28P01 password authentication failed for user "*"`},
	} {
		var from netip.Addr
		if c.from != "" {
			from = netip.MustParseAddr(c.from)
		}
		d, err := p.Resolve(c.identity, c.database, c.asked, from, today)
		var got string
		if err != nil {
			got = said(err)
		} else if got = fmt.Sprintf("%s as %s", d.Tier.Name, d.Tier.Login); d.Role != "" {
			got += " role " + d.Role
		}
		if got != c.want {
			t.Errorf("%s~%s on %s from %q:\n got %s\nwant %s", c.identity, c.asked, c.database, c.from, got, c.want)
		}
	}
}

// A client on a Unix socket comes from the loopback addresses, both of them.
func TestUnixSocketIsLoopback(t *testing.T) {
	for prefix, want := range map[string]bool{"127.0.0.1": true, "::1": true, "127.0.0.0/8": true, "0.0.0.0/0": true, "10.0.0.0/8": false} {
		p := policyOf(t, strings.Replace(policyText, `"10.20.0.0/16", "fd00::/8"`, `"`+prefix+`"`, 1), nil)
		if _, err := p.Resolve("migrate", "EPMT", "", netip.Addr{}, today); (err == nil) != want {
			t.Errorf("from %s: %v", prefix, err)
		}
	}
}

func TestGrantsAddUp(t *testing.T) {
	p := policyOf(t, policyText, nil)
	d, err := p.Resolve("ops", "EPMT", "ro", netip.Addr{}, today)
	if err != nil {
		t.Fatal(err)
	}
	// Two grants give ro: the one without an end and without a limit of connections decides, within the tier's own.
	if !d.Expires.IsZero() || d.Grant.Database != "*" || d.Limits.Connections != 10 {
		t.Errorf("expires %v, grant on %s, limits %+v", d.Expires, d.Grant.Database, d.Limits)
	}
	if d.Timeouts.Query != 20*time.Second || d.Timeouts.IdleTransaction != 0 || d.Timeouts.Login != time.Minute {
		t.Errorf("timeouts %+v", d.Timeouts)
	}
	d, err = p.Resolve("migrate", "EPMT", "", netip.MustParseAddr("10.20.0.1"), today)
	if err != nil {
		t.Fatal(err)
	}
	if d.Limits != (config.GrantLimits{Session: 30 * time.Minute, Connections: 2}) || d.Expires.Year() != 2027 {
		t.Errorf("limits %+v, expires %v", d.Limits, d.Expires)
	}
}

func TestExpiry(t *testing.T) {
	p := policyOf(t, policyText, nil)
	from, end := netip.MustParseAddr("10.20.0.1"), time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC)
	if _, err := p.Resolve("migrate", "EPMT", "", from, end.Add(-1)); err != nil {
		t.Errorf("just before the end: %v", err)
	}
	if _, err := p.Resolve("migrate", "EPMT", "", from, end); err == nil {
		t.Error("access at the end")
	}
}

func TestSplitUser(t *testing.T) {
	for _, c := range []struct{ user, identity, tier, err string }{
		{"alice", "alice", "", ""},
		{"alice~rw", "alice", "rw", ""},
		{"alice~rw~admin", "alice~rw", "admin", ""},
		{"alice~amdin", "alice", "amdin", ""},
		{"alice~", "alice", "", `FATAL 28000 no tier after "~" in user name "alice~" / Tiers: ro, rw, admin.`},
		{"~rw", "", "rw", "FATAL 28000 no PostgreSQL user name specified in startup packet"},
		{"~", "", "", "FATAL 28000 no PostgreSQL user name specified in startup packet"},
		{"", "", "", "FATAL 28000 no PostgreSQL user name specified in startup packet"},
	} {
		identity, tier, err := SplitUser(c.user)
		text := ""
		if err != nil {
			text = said(err)
		}
		if identity != c.identity || tier != c.tier || text != c.err {
			t.Errorf("SplitUser(%q) = %q, %q, %s", c.user, identity, tier, text)
		}
	}
}

func TestAsked(t *testing.T) {
	for _, c := range []struct{ user, options, parameter, want string }{
		{"", "", "", ""},
		{"rw", "", "", "rw"},
		{"", "read-only", "", "ro"},
		{"", "", "read-write", "rw"},
		{"rw", "read-write", "rw", "rw"},
		{"admin", "", "admin", "admin"},
		{"rw", "ro", "", `FATAL 28000 tier asked twice: "rw" in the user name, "ro" in options`},
		{"", "ro", "admin", `FATAL 28000 tier asked twice: "ro" in options, "admin" in a startup parameter`},
		{"ro", "read-only", "rw", `FATAL 28000 tier asked twice: "ro" in the user name, "rw" in a startup parameter`},
		{"amdin", "", "", `FATAL 28000 tier "amdin" does not exist / Tiers: ro, rw, admin.`},
		{"", "", "RW", `FATAL 28000 tier "RW" does not exist / Tiers: ro, rw, admin.`},
		{"rw", "x", "", `FATAL 28000 tier "x" does not exist / Tiers: ro, rw, admin.`},
	} {
		got, err := Asked(c.user, c.options, c.parameter)
		if err != nil {
			got = said(err)
		}
		if got != c.want {
			t.Errorf("Asked(%q, %q, %q) = %s, want %s", c.user, c.options, c.parameter, got, c.want)
		}
	}
}
