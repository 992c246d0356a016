package config

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// checkRoles holds the roles of grants against the templates of the tiers that they reach.
func (d *decoder) checkRoles() {
	for _, g := range d.cfg.Grants {
		reached := d.reached(g)
		used := len(reached) == 0 // why it reaches nothing is reported
		for _, tier := range reached {
			// A template that could not be read may have been meant to use the role.
			used = used || tier.RoleTemplate == nil && d.where[tier].has("role") || d.grantRole(g, tier)
		}
		if g.Role != "" && !used {
			d.where[g].failf("role", `"role" = %q is for nothing: no tier of this grant has {role} in its role`, g.Role)
		}
	}
}

// grantRole checks the role of a grant in one tier; it says whether the tier uses it.
func (d *decoder) grantRole(g *Grant, tier *Tier) bool {
	template := tier.RoleTemplate
	if template == nil || !template.NeedsRole() {
		return false
	}
	t := d.where[g]
	if g.Role == "" {
		if !t.has("role") {
			d.failf(g.Pos, `grant has no role, which the role %q of tier %s is made of; write role = ".."`, template, tier)
		}
		return true
	}
	if name, ok := template.Fill("", g.Role); ok && BadRole(name) != "" {
		t.failf("role", `"role" = %q makes the role %q in tier %s: the name %s`, g.Role, name, tier, BadRole(name))
	}
	return true
}

// reached are the tiers that a grant gives, in the order of allTiers.
func (d *decoder) reached(g *Grant) []*Tier {
	return slices.DeleteFunc(d.allTiers(), func(t *Tier) bool {
		return g.Database != "*" && g.Database != t.Database.Name || !slices.Contains(g.Tiers, t.Name)
	})
}

// checkMeetings finds grants that may hold for one client at once and contradict each other: they have no order that would
// say which of them is right.
func (d *decoder) checkMeetings() {
	seen := map[[2]*Grant]bool{}
	d.meetings(func(identity string, a, b *Grant) {
		if seen[[2]*Grant{a, b}] {
			return // said of another identity, or nothing to say
		}
		seen[[2]*Grant{a, b}] = true
		if a.Default != "" && b.Default != "" && a.Default != b.Default {
			d.failf(b.Pos, `two grants give %q different default tiers on %q (%s at line %d, %s at line %d); keep one "default"`,
				identity, meetingPlace(a, b), a.Default, d.line(a, "default"), b.Default, d.line(b, "default"))
		}
		if tier := d.disputed(a, b); tier != nil {
			d.failf(b.Pos, `two grants give %q different roles in tier %s (%s at line %d, %s at line %d); keep one "role"`,
				identity, tier, a.Role, d.line(a, "role"), b.Role, d.line(b, "role"))
		}
	})
}

func (d *decoder) line(g *Grant, key string) int { return d.where[g].keyAt(key).Line }

// meetings calls f for every two grants that may hold for one client on one database, in the order of the file.
func (d *decoder) meetings(f func(identity string, a, b *Grant)) {
	byTo := map[string][]*Grant{}
	for _, g := range d.cfg.Grants {
		if g.Default != "" || g.Role != "" { // nothing else can contradict
			byTo[g.To] = append(byTo[g.To], g)
		}
	}
	groups := d.cfg.GroupsOf()
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Identities)) {
		grants := slices.Concat(byTo["*"], byTo[name])
		for _, g := range groups[name] {
			grants = append(grants, byTo["@"+g]...)
		}
		grants = slices.DeleteFunc(grants, func(g *Grant) bool { return !Holds(g.When, d.cfg.Identities[name].Attributes) })
		slices.SortStableFunc(grants, func(a, b *Grant) int {
			return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
		})
		for i, a := range grants {
			for _, b := range grants[i+1:] {
				if overlap(a, b) {
					f(name, a, b)
				}
			}
		}
	}
}

// disputed is a tier that would get another role from a than from b, nil when there is none.
func (d *decoder) disputed(a, b *Grant) *Tier {
	if a.Role == "" || b.Role == "" || a.Role == b.Role {
		return nil
	}
	theirs := d.reached(b)
	for _, tier := range d.reached(a) {
		if tier.RoleTemplate != nil && tier.RoleTemplate.NeedsRole() && slices.Contains(theirs, tier) {
			return tier
		}
	}
	return nil
}

// meetingPlace names the database of two grants of which one may be for every database.
func meetingPlace(a, b *Grant) string {
	if a.Database == "*" {
		return b.Database
	}
	return a.Database
}

// loopbackAddresses are where a client on a Unix socket counts as coming from: all of them at once.
var loopbackAddresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// overlap says whether two grants may hold for one client on one database.
func overlap(a, b *Grant) bool {
	if a.Database != b.Database && a.Database != "*" && b.Database != "*" {
		return false
	}
	if len(a.From) == 0 || len(b.From) == 0 || fromSocket(a) && fromSocket(b) {
		return true
	}
	return slices.ContainsFunc(a.From, func(p netip.Prefix) bool {
		return slices.ContainsFunc(b.From, p.Overlaps)
	})
}

func fromSocket(g *Grant) bool {
	return slices.ContainsFunc(g.From, func(p netip.Prefix) bool {
		return slices.ContainsFunc(loopbackAddresses, p.Contains)
	})
}
