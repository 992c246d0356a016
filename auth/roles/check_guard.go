package roles

import (
	"fmt"
	"slices"
	"strings"
)

// hardening reports what a guarded tier could still use to get behind its guard.
func (c *checkup) hardening() {
	if !c.tier.Guard {
		return
	}
	has := granted(c.public)
	for _, m := range measures {
		var fix, objects []string
		for _, ch := range changes(c.facts.major(), c.facts.Database, trusted(c.public)) {
			if ch.why != m.why {
				continue
			}
			for _, grantee := range has[ch.key()] {
				if c.reaches[grantee] && !c.ownsDatabase(ch, grantee) {
					fix = append(fix, "REVOKE "+ch.privilege+" ON "+ch.object+" FROM "+c.graph.name(grantee)+";")
					objects = append(objects, oneLine(ch.object))
				}
			}
		}
		if len(fix) == 0 {
			continue
		}
		severity := Note
		if m.escape {
			severity = Error
		}
		c.add(severity, "not-hardened", fmt.Sprintf("this tier has %s on %s", m.privilege, listed(slices.Compact(objects))), m.why, fix...).
			Hint = "all at once, with roles that keep it: pgtier harden " + show(c.tier.Database.Name)
	}
	c.dynamic()
}

// ownsDatabase says whether a privilege is an owner's own: revoking it from the owner changes nothing for long.
func (c *checkup) ownsDatabase(ch change, grantee uint32) bool {
	return ch.kind == "DATABASE" && grantee == c.facts.Owner
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
