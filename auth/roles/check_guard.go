package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hardening reports what a guarded tier could still use to get behind its guard.
func (c *checkup) hardening() {
	if !c.tier.Guard {
		return
	}
	all := changes(c.facts.major(), c.facts.Database, trusted(c.public))
	for _, m := range measures {
		c.measure(m, ofMeasure(all, m))
	}
	c.dynamic()
}

// measure reports what the tier has of what one measure takes away, through PUBLIC or a role of its own. An owner's own
// rights are left to ro-owns and login-owns.
func (c *checkup) measure(m measure, list []change) {
	has := granted(c.public)
	var objects, fix []string
	for _, r := range slices.Sorted(maps.Keys(c.reaches)) {
		var of []change
		for _, ch := range list {
			if slices.Contains(has[ch.key()], r) && (ch.kind != "DATABASE" || r != c.facts.Owner) {
				of = append(of, ch)
				objects = append(objects, ch.label())
			}
		}
		if len(of) > 0 {
			fix = append(fix, "REVOKE "+on(of)+" FROM "+c.graph.name(r)+";")
		}
	}
	if len(fix) == 0 {
		return
	}
	severity := Note
	if m.escape {
		severity = Error
	}
	slices.Sort(objects)
	f := c.add(severity, "not-hardened", fmt.Sprintf("this tier has %s on %s", m.privilege, listed(slices.Compact(objects))), m.why, fix...)
	f.Hint = "all at once, with roles that keep it: pgtier harden " + show(c.tier.Database.Name)
}

// dynamic lists functions that put a statement together and run it: with the caller's text in it, that is a hole which
// neither guard nor hardening can close.
func (c *checkup) dynamic() {
	var names []string
	for _, f := range c.functions {
		if name := show(f.Schema, f.Name); !f.Definer && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		c.add(Note, "guard-dynamic-function", "these functions run statements that they put together: "+strings.Join(names, ", "),
			"one that runs its caller's text lets it past the guard").Hint = "read them; PL/pgSQL's EXECUTE with format() and USING is safe for values only"
	}
}
