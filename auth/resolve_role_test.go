package auth

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/config"
)

// rolesText has every sort of role. Its line numbers are in testdata/explain.txt.
const rolesText = policyHead + `
[databases.orders]
server = "main"
[databases.orders.tiers]
ro = { login = "px-orders-ro", password = "x", role = "{database}_reader" }
rw = { login = "px-orders-rw", password = "x", role = "{database}_{role}" }

[databases.tww_lausanne]
server = "main"
vars = { suffix = "lausanne" }
tiers = { rw = { login = "px-tww", password = "x", role = "tww_user_{suffix}" } }

[databases.pip]
server = "main"
tiers = { rw = { login = "px-pip", password = "x", role = "{identity}", application_name = "client", identity_setting = true } }

[identities]
carol        = { password = "x" }
dave         = { password = "x" }
"Élise d'Or" = { password = "x" }
none         = { password = "x" }
Public       = { password = "x" }
pg_monitor   = { password = "x" }
PG_Monitor   = { password = "x" }
px-pip       = { password = "x" }
"a.name.of.more.than.sixty-three.bytes.as.mail.addresses.may.be@example.com" = { password = "x" }

[groups]
sales = ["carol", "dave"]

[[grants]]
to = "@sales"
database = "orders"
tiers = ["rw"]
role = "salesperson"
[[grants]]
to = "carol"
database = "orders"
tiers = ["ro", "rw"]
role = "salesperson"
expires = 2026-06-30T00:00:00Z
[[grants]]
to = "*"
database = "tww_lausanne"
tiers = ["rw"]
[[grants]]
to = "*"
database = "pip"
tiers = ["rw"]

[identities.erin]
scram = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
[identities.px-own]
password = "x"
[databases.own]
server = "main"
[databases.own.tiers]
ro = { isolation = "login", role = "{identity}_ro", pool = { size = 9, per_identity = 3 } }
rw = { isolation = "login", role = "{identity}", sslcert = "/people/{role}.crt", sslkey = "/people/{role}.key" }
admin = { login = "px-own", password = "x" }
[[grants]]
to = "*"
database = "own"
tiers = ["ro", "rw"]
default = "ro"
`

func TestRoles(t *testing.T) {
	p := policyOf(t, rolesText, nil)
	const hint = ` / The role of tier "rw" is made of "{identity}".`
	for _, c := range []struct{ identity, database, asked, want string }{
		{"carol", "orders", "rw", "orders_salesperson"},
		{"carol", "orders", "ro", "orders_reader"},
		{"dave", "orders", "", "orders_salesperson"},
		{"carol", "tww_lausanne", "", "tww_user_lausanne"},
		{"carol", "pip", "", "carol"},
		{"Élise d'Or", "pip", "", "Élise d'Or"},
		{"none", "pip", "", `FATAL 28000 permission denied: "none" cannot run as role "none" on database "pip": the name is reserved by PostgreSQL` + hint},
		{"Public", "pip", "", `FATAL 28000 permission denied: "Public" cannot run as role "Public" on database "pip": the name is reserved by PostgreSQL` + hint},
		{"pg_monitor", "pip", "", `FATAL 28000 permission denied: "pg_monitor" cannot run as role "pg_monitor" on database "pip": ` +
			`the name begins with "pg_", which PostgreSQL keeps for itself` + hint},
		{"PG_Monitor", "pip", "", `FATAL 28000 permission denied: "PG_Monitor" cannot run as role "PG_Monitor" on database "pip": ` +
			`the name begins with "pg_", which PostgreSQL keeps for itself` + hint},
		{"px-pip", "pip", "", `FATAL 28000 permission denied: "px-pip" cannot run as role "px-pip" on database "pip": ` +
			`it is the login of the tier, which everybody shares` + hint},
		{"a.name.of.more.than.sixty-three.bytes.as.mail.addresses.may.be@example.com", "pip", "",
			`FATAL 28000 permission denied: "a.name.of.more.than.sixty-three.bytes.as.mail.addresses.may.be@example.com" cannot run as role ` +
				`"a.name.of.more.than.sixty-three.bytes.as.mail.addresses.may.be@example.com" on database "pip": ` +
				`the name is 74 bytes long; PostgreSQL cuts names after 63` + hint},
		{"carol", "own", "rw", "carol"},
		{"px-own", "own", "rw", `FATAL 28000 permission denied: "px-own" cannot log in as "px-own" on database "own": it is the login of tier "admin"` + hint},
		{"none", "tww_lausanne", "", "tww_user_lausanne"}, // only the role matters
	} {
		d, err := p.Resolve(c.identity, c.database, c.asked, netip.Addr{}, today)
		var got string
		if err != nil {
			got = said(err)
		} else {
			got = d.Role
		}
		if got != c.want {
			t.Errorf("%s~%s on %s:\n got %s\nwant %s", c.identity, c.asked, c.database, got, c.want)
		}
	}
}

// What the configuration's checks keep out ends a resolution all the same, and never with the login as the role.
func TestRolesThatTheChecksMissed(t *testing.T) {
	for _, c := range []struct {
		change func(cfg *config.Config)
		want   string
	}{
		{func(cfg *config.Config) { cfg.Grants[1].Role = "manager" },
			`FATAL 28000 permission denied: "carol" has several roles for tier "rw" on database "orders" ["manager" "salesperson"]` +
				` / The role of tier "rw" is made of "{database}_{role}".`},
		{func(cfg *config.Config) { cfg.Grants[0].Role, cfg.Grants[1].Role = "", "" },
			`FATAL 28000 permission denied: "carol" has no role for tier "rw" on database "orders"` +
				` / The role of tier "rw" is made of "{database}_{role}".`},
		{func(cfg *config.Config) { cfg.Grants[0].Role, cfg.Grants[1].Role = "a\x00b", "" },
			`FATAL 28000 permission denied: "carol" cannot run as role "orders_a\x00b" on database "orders": the name must not contain a zero byte` +
				` / The role of tier "rw" is made of "{database}_{role}".`},
	} {
		cfg, findings := config.LoadBytes("/etc/pgtier.toml", []byte(rolesText), func(string) (string, bool) { return "", false })
		if err := findings.Err(); err != nil {
			t.Fatal(err)
		}
		c.change(cfg)
		d, err := NewPolicy(cfg).Resolve("carol", "orders", "rw", netip.Addr{}, today)
		if err == nil {
			t.Errorf("%+v, want %s", d, c.want)
		} else if said(err) != c.want {
			t.Errorf("got %s\nwant %s", said(err), c.want)
		}
	}
}

// forbidden is the list of the design, written down once more.
func forbidden(role string) bool {
	low := strings.ToLower(role)
	return role == "" || len(role) > 63 || strings.ContainsRune(role, 0) || !utf8.ValidString(role) ||
		low == "none" || low == "public" || strings.HasPrefix(low, "pg_")
}

// TestRoleIsNeverForbidden: whatever the template, the identity and the role of the grant, a session runs as exactly the name
// that they come to, or not at all.
func TestRoleIsNeverForbidden(t *testing.T) {
	nasty := rapid.OneOf(
		rapid.SampledFrom([]string{"", "none", "NONE", "public", "pg_", "PG_x", "g_x", "no", "ne", "pub", "px", "{role}", "{identity}", "a\x00",
			"\xff", "a b", `"`, "Ünï", "x'; --"}),
		rapid.StringN(0, 40, 80),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 70), func(b []byte) string { return string(b) }),
	)
	piece := rapid.SampledFrom([]string{"{identity}", "{identity}", "{role}", "{role}", "{database}", "{tier}", "{v}", "p", "x", "pg", "_", "no", "PUB", ""})
	rapid.Check(t, func(t *rapid.T) {
		template := strings.Join(rapid.SliceOfN(piece, 1, 3).Draw(t, "template"), "")
		identity, role := nasty.Draw(t, "identity"), nasty.Draw(t, "role")
		cfg, findings := config.LoadBytes("f", []byte(policyHead+`
[databases.n]
server = "main"
vars = { v = "lic" }
tiers = { rw = { login = "px", password = "x", role = "`+template+`" } }
[identities]
i = { password = "x" }
[[grants]]
to = "*"
database = "n"
tiers = ["rw"]
`+map[bool]string{true: `role = "r"`}[strings.Contains(template, "{role}")]), func(string) (string, bool) { return "", false })
		if len(findings) > 0 {
			return // nothing good can come of it
		}
		// Past all checks of the file:
		cfg.Identities[identity] = &config.Identity{Name: identity}
		cfg.Grants[0].Role = role
		want := strings.NewReplacer("{identity}", identity, "{role}", role, "{database}", "n", "{tier}", "rw", "{v}", "lic").Replace(template)
		perSession := strings.Contains(template, "{role}") || strings.Contains(template, "{identity}")
		never := forbidden(want) || perSession && want == "px" // the login
		incomplete := strings.Contains(template, "{role}") && role == "" || strings.Contains(template, "{identity}") && identity == ""
		d, err := NewPolicy(cfg).Resolve(identity, "n", "", netip.Addr{}, today)
		switch {
		case err == nil && (never || d.Role != want || incomplete):
			t.Fatalf("%q with %q and %q became %q", template, identity, role, d.Role)
		case err != nil && !never && !incomplete:
			t.Fatalf("%q with %q and %q should be %q: %v", template, identity, role, want, err)
		case err != nil && (err.Code != "28000" || !strings.HasPrefix(err.Message, "permission denied: ") || err.Hint == ""):
			t.Fatalf("refused with %+v", err)
		case err != nil && (strings.ContainsRune(err.Message, 0) || !utf8.ValidString(err.Message)):
			t.Fatalf("a message that cannot be sent: %q", err.Message)
		}
	})
}
