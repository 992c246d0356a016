package roles

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// checkup compares one tier with what its server says.
type checkup struct {
	*wanted
	*actual
	now time.Time
	out Findings
}

// diff is the report on one tier whose login works.
func diff(w *wanted, a *actual, now time.Time) Findings {
	c := &checkup{wanted: w, actual: a, now: now}
	c.version()
	c.connections()
	if c.superuser() {
		return c.out // PostgreSQL lets it do anything: there is nothing else to compare
	}
	c.attributes()
	c.predefined()
	c.members()
	c.roleTargets()
	c.expiry()
	c.roleSettings()
	c.loginSettings()
	c.loginPowers()
	if w.tier.Name == "ro" {
		c.writes()
		c.creates()
		c.ownership()
		c.definers()
		c.stillCan()
	}
	c.defaultPrivileges()
	c.hardening()
	slices.SortStableFunc(c.out, func(x, y Finding) int { return cmp.Compare(rank(x.Severity), rank(y.Severity)) })
	return c.out
}

// add reports a finding; what and why are put together from names that have been through show or ident.
func (c *checkup) add(s Severity, code, what, why string, fix ...string) *Finding {
	f := place(c.tier)
	f.Severity, f.Code, f.What, f.Why, f.Fix = s, code, what, why, fix
	if len(fix) > 0 {
		f.As = c.superuserOf()
	}
	c.out = append(c.out, f)
	return &c.out[len(c.out)-1]
}

func (c *checkup) superuserOf() string {
	return fmt.Sprintf("a superuser, in database %s", show(c.facts.Database))
}

// login is the tier's own role.
func (c *checkup) login() *role { return c.graph.byOID[c.facts.Login] }

// existing are the roles that the tier wants and the server has.
func (c *checkup) existing() (out []*role) {
	for _, name := range c.roles {
		if r := c.graph.byName[name]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// names writes roles for people, sorted.
func (c *checkup) names(oids map[uint32]bool) (out []string) {
	for oid := range oids {
		if r := c.graph.byOID[oid]; r != nil {
			out = append(out, show(r.Name))
		}
	}
	slices.Sort(out)
	return out
}
