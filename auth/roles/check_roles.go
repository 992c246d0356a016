package roles

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// roleTargets reports roles that grants resolve to and that sessions cannot run as.
func (c *checkup) roleTargets() {
	login, database := ident(c.tier.Login), ident(c.facts.Database)
	var missing, denied, unconnected, create, grant, connect []string
	for _, name := range c.roles {
		r := c.graph.byName[name]
		if r == nil {
			missing = append(missing, show(name))
			create = append(create, "CREATE ROLE "+ident(name)+" NOLOGIN;", c.grant(name))
			continue
		}
		if !c.becomes[r.OID] && c.tier.Isolation != "login" {
			denied, grant = append(denied, show(name)), append(grant, c.grant(name))
		}
		if !r.Connect {
			unconnected = append(unconnected, show(name))
			connect = append(connect, "GRANT CONNECT ON DATABASE "+database+" TO "+ident(name)+";")
		}
	}
	if len(missing) > 0 {
		c.add(Error, "role-missing", "there is no role "+listed(missing), "sessions that should run as it are refused", create...)
	}
	if len(denied) > 0 {
		c.add(Error, "role-not-granted", fmt.Sprintf("login %s may not SET ROLE %s", show(c.tier.Login), listed(denied)),
			"sessions that should run as it are refused", grant...)
	}
	if len(unconnected) > 0 {
		c.add(Warning, "role-connect", "CONNECT on the database is missing for "+listed(unconnected),
			"pgtier treats its sessions as if it had logged in itself, and SET ROLE would not check", connect...)
	}
	c.inheriting(login)
}

// grant makes a role one that the login can run as and does not have the rights of otherwise.
func (c *checkup) grant(name string) string {
	sql := "GRANT " + ident(name) + " TO " + ident(c.tier.Login)
	if c.facts.major() >= 16 {
		sql += " WITH INHERIT FALSE, SET TRUE"
	}
	return sql + ";"
}

// weight is how bad it is that the login of a tier with roles has powers itself: pools whose sessions have several roles
// rely on it not having any.
func (c *checkup) weight() Severity {
	if c.tier.Isolation == "shared" {
		return Warning
	}
	return Note
}

// inheriting reports a login that has the rights of the roles it is there to leave.
func (c *checkup) inheriting(login string) {
	if c.tier.RoleTemplate == nil && c.tier.Role == "" {
		return
	}
	fix := []string{"ALTER ROLE " + login + " NOINHERIT;"}
	var from []string
	for _, m := range c.graph.up[c.facts.Login] {
		r := c.graph.byOID[m.Role]
		if r == nil || !m.Inherit || strings.HasPrefix(r.Name, "pg_") {
			continue
		}
		from = append(from, show(r.Name))
		if c.facts.major() >= 16 {
			fix = append(fix, "REVOKE INHERIT OPTION FOR "+ident(r.Name)+" FROM "+login+" GRANTED BY "+c.graph.name(m.Grantor)+";")
		}
	}
	if len(from) > 0 {
		c.add(c.weight(), "login-inherits", fmt.Sprintf("login %s inherits from %s", show(c.tier.Login), listed(from)),
			"a client that goes back to the login with RESET ROLE has all their rights at once", fix...)
	}
}

// loginPowers reports what the login of a tier with roles has been given itself.
func (c *checkup) loginPowers() {
	if c.tier.RoleTemplate == nil && c.tier.Role == "" || slices.Contains(c.roles, c.tier.Login) {
		return
	}
	var granted []privilege
	for _, p := range c.privileges {
		if p.Grantee == c.facts.Login && (p.Kind != "DATABASE" || p.Privilege != "CONNECT") {
			granted = append(granted, p)
		}
	}
	if len(granted) > 0 {
		c.add(c.weight(), "login-grants", fmt.Sprintf("login %s has %s", show(c.tier.Login), summary(granted)),
			"a client that goes back to the login with RESET ROLE has them, whatever its role", revokes(c.graph, granted)...)
	}
	if owned := c.ownedBy(c.facts.Login); len(owned) > 0 {
		c.add(c.weight(), "login-owns", fmt.Sprintf("login %s owns %s", show(c.tier.Login), listed(owned)),
			"a client that goes back to the login with RESET ROLE may alter and drop it", c.reassign(c.tier.Login))
	}
}

func (c *checkup) ownedBy(oid uint32) (out []string) {
	for _, o := range c.owned {
		if o.Owner == oid {
			out = append(out, o.Type+" "+oneLine(o.Identity))
		}
	}
	return out
}

// reassign gives what a role owns to the role that the admin tier makes objects as.
func (c *checkup) reassign(name string) string {
	to := "CURRENT_USER"
	if len(c.makers) > 0 && c.makers[0] != name {
		to = ident(c.makers[0])
	}
	return "REASSIGN OWNED BY " + ident(name) + " TO " + to + ";"
}

// soon is how long before its end a VALID UNTIL is reported.
const soon = 30 * 24 * time.Hour

func (c *checkup) expiry() {
	list := c.existing()
	if !slices.Contains(list, c.login()) {
		list = append([]*role{c.login()}, list...)
	}
	for _, r := range list {
		if r.ValidUntil == nil || r.ValidUntil.After(c.now.Add(soon)) {
			continue
		}
		severity, what := Warning, "ends"
		if !r.ValidUntil.After(c.now) {
			severity, what = Error, "ended"
		}
		c.add(severity, "valid-until", fmt.Sprintf("the validity of %s %s %s", show(r.Name), what, r.ValidUntil.UTC().Format(time.RFC3339)),
			"from then on its password is refused, and so are sessions that run as it", "ALTER ROLE "+ident(r.Name)+" VALID UNTIL 'infinity';")
	}
}
