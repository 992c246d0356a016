package roles

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgtier/pgtier/config"
)

// ownLogins says why there is nothing to examine in a tier that has no login.
func ownLogins(w *wanted) Finding {
	f := place(w.tier)
	f.Severity, f.Code = Note, "own-logins"
	f.What = `everybody logs in as themselves (isolation = "login"): this tier is not examined`
	f.Why = "PostgreSQL bounds each of them by what their own role may do, which pgtier cannot look at without their password"
	return f
}

// loginFailed reports a tier that cannot be logged in to, or not be inspected. The server's reason decides the fix.
func loginFailed(w *wanted, err error) Finding {
	f := place(w.tier)
	f.Severity, f.Code = Error, "login-failed"
	f.What = fmt.Sprintf("login %s does not work: %s", show(w.tier.Login), oneLine(err.Error()))
	f.Why = "no session of this tier can get a server"
	login, database := ident(w.tier.Login), ident(w.tier.DBName)
	text := err.Error()
	switch code := sqlState(err); {
	case code == "28P01":
		f.Hint = fmt.Sprintf("set the configured password with psql: \\password %s; the role may also be missing, or its VALID UNTIL be over", login)
	case code == "28000" && strings.Contains(text, "not permitted to log in"):
		f.Fix = []string{"ALTER ROLE " + login + " LOGIN;"}
	case code == "28000" && strings.Contains(text, "does not exist"):
		f.Fix = []string{"CREATE ROLE " + login + " LOGIN;"}
		f.Hint = fmt.Sprintf("then set the configured password with psql: \\password %s", login)
	case code == "42501" && strings.Contains(text, "permission denied for database"):
		f.Fix = []string{"GRANT CONNECT ON DATABASE " + database + " TO " + login + ";"}
	case code == "53300" && strings.Contains(text, "too many connections for role"):
		f.Fix = []string{fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;", login, w.perLogin[w.tier.Login])}
	case code == "3D000":
		f.Hint = "the database does not exist on this server, or has been renamed; names are case-sensitive"
	default:
		f.Hint = "look at host, sslmode and pg_hba.conf, and into the server's log"
	}
	if len(f.Fix) > 0 {
		f.As = "a superuser"
	}
	return f
}

// oneLine makes an error's text safe to show.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if printable(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// firstFixed are the minor releases in which a role given at connection start survives everything that it should: before,
// SET ROLE's parameter was forgotten in some cases (PostgreSQL release notes 17.2, 16.6, 15.10, 14.15).
var firstFixed = map[int]int{14: 15, 15: 10, 16: 6, 17: 2}

// OldestServer is the oldest major version of PostgreSQL that pgtier is tested with.
const OldestServer = 14

func (c *checkup) version() {
	major, minor := c.facts.major(), c.facts.Version%10_000
	if major < OldestServer {
		c.add(Warning, "server-version", "the server is PostgreSQL "+show(c.facts.VersionText),
			fmt.Sprintf("pgtier is tested with %d and later", OldestServer)).Hint = "upgrade the server"
	}
	fixed, known := firstFixed[major]
	if (known && minor < fixed || major < OldestServer) && len(c.roles) > 0 {
		f := c.add(Error, "server-role-bug", "the server is PostgreSQL "+show(c.facts.VersionText),
			"it may lose the role that a session was started with, and go on as the login")
		if known {
			f.Hint = fmt.Sprintf("upgrade to %d.%d or later", major, fixed)
		}
	}
}

// superuser reports a login that PostgreSQL does not confine, and says whether it is one.
func (c *checkup) superuser() bool {
	if !c.login().Superuser {
		return false
	}
	what := fmt.Sprintf("login %s is a superuser", show(c.tier.Login))
	if c.tier.AcceptSuperuser {
		c.add(Note, "superuser", what, "nothing confines it to its tier; accept_superuser says that this is meant")
		return true
	}
	c.add(Error, "superuser", what, "nothing confines it to its tier", "ALTER ROLE "+ident(c.tier.Login)+" NOSUPERUSER;")
	return true
}

// attributes reports what the login, and every role that its clients can run as, may do beside grants.
func (c *checkup) attributes() {
	for _, a := range []struct {
		code, why string
		severity  Severity
		has       func(*role) bool
	}{
		{"superuser", "every client of the tier can become it, and nothing confines it", Error, func(r *role) bool { return r.Superuser }},
		{"bypassrls", "row security does not hold for it", Error, func(r *role) bool { return r.BypassRLS }},
		{"createrole", "it can create roles and give away memberships, before PostgreSQL 16 nearly all of them", Error, func(r *role) bool { return r.CreateRole }},
		{"replication", "it can copy the whole cluster", Error, func(r *role) bool { return r.Replication }},
		{"createdb", "it can fill the disk with databases of its own", Warning, func(r *role) bool { return r.CreateDB }},
	} {
		for _, r := range c.sorted(c.becomes) {
			if a.has(r) {
				word := strings.ToUpper(a.code)
				c.add(a.severity, a.code, fmt.Sprintf("%s has %s", show(r.Name), word), a.why, "ALTER ROLE "+ident(r.Name)+" NO"+word+";")
			}
		}
	}
}

// dangerous are PostgreSQL's own roles that reach over a tier's wall (PostgreSQL documentation, "Predefined Roles"), with
// the tiers in which that is an error. In others it is fine, as far as this program can know.
var dangerous = map[string]struct {
	why   string
	tiers []string
}{
	"pg_read_server_files":        {"it reads every file of the server, other databases included", config.Tiers()},
	"pg_write_server_files":       {"it writes every file of the server, which ends in running programs", config.Tiers()},
	"pg_execute_server_program":   {"it runs programs on the server", config.Tiers()},
	"pg_signal_backend":           {"it ends everybody's sessions, other tiers' and pgtier's included", config.Tiers()},
	"pg_signal_autovacuum_worker": {"it keeps autovacuum from working", []string{"ro", "rw"}},
	"pg_create_subscription":      {"it makes the server connect to other servers", config.Tiers()},
	"pg_use_reserved_connections": {"it takes the connections that are kept for emergencies", config.Tiers()},
	"pg_checkpoint":               {"it can make the server write all the time", []string{"ro", "rw"}},
	"pg_maintain":                 {"it locks and rewrites every table", []string{"ro", "rw"}},
	"pg_write_all_data":           {"it writes every table", []string{"ro"}},
	"pg_read_all_stats":           {"it reads everybody's statements, other tiers' included", []string{"ro", "rw"}},
}

func (c *checkup) predefined() {
	for _, r := range c.sorted(c.reaches) {
		d, known := dangerous[r.Name]
		if !known || !slices.Contains(d.tiers, c.tier.Name) {
			continue
		}
		fix := c.revokeMembership(r.OID)
		c.add(Error, "predefined-role", fmt.Sprintf("login %s has the rights of %s", show(c.tier.Login), r.Name), d.why, fix...)
	}
}

// revokeMembership takes a role away from all of the login's reach. A role that is reached through another predefined one
// (pg_monitor has pg_read_all_stats) is lost with that one.
func (c *checkup) revokeMembership(oid uint32) (out []string) {
	for _, member := range c.sorted(c.reaches) {
		for _, m := range c.graph.up[member.OID] {
			switch {
			case m.Role != oid:
			case strings.HasPrefix(member.Name, "pg_"):
				out = append(out, c.revokeMembership(member.OID)...)
			default:
				out = append(out, c.revoke(m))
			}
		}
	}
	return out
}

// revoke takes one membership back. Since 16 it has to say whose grant it was.
func (c *checkup) revoke(m membership) string {
	sql := "REVOKE " + c.graph.name(m.Role) + " FROM " + c.graph.name(m.Member)
	if c.facts.major() >= 16 {
		sql += " GRANTED BY " + c.graph.name(m.Grantor)
	}
	return sql + ";"
}

// sorted are the roles of a set by name, PUBLIC left out.
func (c *checkup) sorted(oids map[uint32]bool) (out []*role) {
	for oid := range oids {
		if r := c.graph.byOID[oid]; r != nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *role) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
