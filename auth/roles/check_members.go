package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// members reports memberships that lead out of what the tier's grants resolve to. Each finding is one membership: that of
// the login, or of a role that sessions run as, in a role that they should not get to.
func (c *checkup) members() {
	own := c.own()
	for _, member := range c.sorted(own) {
		for _, m := range c.graph.up[member.OID] {
			target := c.graph.byOID[m.Role]
			if target == nil || own[m.Role] || strings.HasPrefix(target.Name, "pg_") || !m.becomes() && !m.Inherit {
				continue
			}
			c.member(m, member, target)
		}
	}
	c.sharedRoles()
}

// own are the login and the roles of the configuration that its clients can run as or have the rights of.
func (c *checkup) own() map[uint32]bool {
	own := map[uint32]bool{c.facts.Login: true}
	for _, r := range c.existing() {
		if c.reaches[r.OID] {
			own[r.OID] = true
		}
	}
	return own
}

func (c *checkup) member(m membership, member, target *role) {
	behind := map[uint32]bool{m.Role: true} // whose rights the membership gives
	if m.becomes() {
		c.graph.climb(behind, membership.becomes)
	}
	c.graph.climb(behind, func(m membership) bool { return m.Inherit })
	what := fmt.Sprintf("%s is a member of %s", show(member.Name), show(target.Name))
	if names := slices.DeleteFunc(c.names(behind), func(n string) bool { return n == show(target.Name) }); len(names) > 0 {
		what += ", and so of " + listed(names)
	}
	fix := c.revoke(m)
	switch higher := c.higher(behind); {
	case len(higher) > 0:
		c.add(Error, "tier-wall", what, "every client of this tier has the rights of "+listed(higher), fix)
	case !m.becomes():
		// Rights that come with the login are what the tier was given.
	case c.byIdentity():
		if owners := c.owners(behind); len(owners) > 0 {
			c.add(Warning, "role-owns", what, "every client of this tier can alter and drop what belongs to "+listed(owners), fix)
		}
	case len(c.roles) == 0 && subset(c.graph.climb(map[uint32]bool{m.Role: true}, membership.becomes), c.graph.inherits(c.facts.Login)):
		c.add(Warning, "role-unexpected", what, "its clients can run as a role that no grant gives, although with no more rights than they have", fix)
	default:
		c.add(Error, "role-unexpected", what, "every client of this tier can run as a role that no grant gives", fix)
	}
}

// higher says which of a set of roles belong to more powerful tiers: as a login anywhere on the server, since who runs as it
// can set its password, or as a role in the same database.
func (c *checkup) higher(oids map[uint32]bool) (out []string) {
	for _, r := range c.sorted(oids) {
		if tiers := c.tiersAbove(r.Name); len(tiers) > 0 {
			out = append(out, fmt.Sprintf("%s (tier %s)", show(r.Name), strings.Join(tiers, ", ")))
		}
	}
	return out
}

func (c *checkup) tiersAbove(name string) (out []string) {
	for _, o := range c.others {
		role := o.tier.DBName == c.tier.DBName && slices.Contains(o.sessionRoles(), name)
		if o.above(c.wanted) && (role || o.tier.Login == name) {
			out = append(out, show(o.tier.Database.Name)+"/"+o.tier.Name)
		}
	}
	return out
}

// owners are those of a set of roles that own something in the database and are not the configuration's.
func (c *checkup) owners(oids map[uint32]bool) (out []string) {
	for _, o := range c.owned {
		if r := c.graph.byOID[o.Owner]; oids[o.Owner] && r != nil && !slices.Contains(out, show(r.Name)) {
			out = append(out, show(r.Name))
		}
	}
	return out
}

// sharedRoles reports roles that the configuration itself gives to this tier and to a higher one.
func (c *checkup) sharedRoles() {
	var names []string
	tiers := map[string]bool{}
	for _, name := range c.sessionRoles() {
		above := c.tiersAbove(name)
		for _, t := range above {
			tiers[t] = true
		}
		if len(above) > 0 {
			names = append(names, show(name))
		}
	}
	if len(names) == 0 {
		return
	}
	f := c.add(Error, "shared-role", "sessions run as "+listed(names)+", as those of tier "+strings.Join(slices.Sorted(maps.Keys(tiers)), ", ")+" do",
		"the lower tier has the rights of the higher")
	f.Hint = "give each tier logins and roles of its own in the configuration"
}

// subset reports whether all of a are in b.
func subset(a, b map[uint32]bool) bool {
	for x := range a {
		if !b[x] {
			return false
		}
	}
	return true
}
