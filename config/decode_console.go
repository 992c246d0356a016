package config

import (
	"slices"
	"strings"
)

// consoleNames are what clients call the console as a database. The second one is what PgBouncer calls its own, so that what
// watches a PgBouncer can watch pgtier.
var consoleNames = []string{"pgtier", "pgbouncer"}

// IsConsole reports whether a database of this name is the console, where there is one.
func IsConsole(name string) bool { return slices.Contains(consoleNames, name) }

func (d *decoder) console(top *table) {
	t := top.sub("console", kindConsole)
	if t == nil {
		return
	}
	c := &Console{Pos: t.n.start, Admins: d.members(t, "admins"), Observers: d.members(t, "observers")}
	d.cfg.Console = c
	if !t.has("admins") && !t.has("observers") {
		d.failf(c.Pos, `[console] is for nobody; write admins = ["@group"] or observers = ["@group"]`)
	}
	for _, name := range consoleNames {
		if db := d.cfg.Databases[name]; db != nil {
			d.failf(db.Pos, "database %q cannot be reached: [console] (line %d) has this name; "+
				"give the database another one and write dbname = %[1]q in it", name, c.Pos.Line)
		}
	}
}

// members reads a list of identities and groups. Everybody is not among what may be written: whoever is added to the file
// later would have a right that nobody thought of.
func (d *decoder) members(t *table, key string) []string {
	members := t.strs(key)
	for i, m := range members {
		at := t.itemAt(key, i)
		group, isGroup := strings.CutPrefix(m, "@")
		switch {
		case m == "":
		case m == "*":
			d.failf(at, `the console is not for everybody; name identities or groups`)
		case isGroup && d.cfg.Groups[group] == nil:
			d.failf(at, "%s", d.noGroup(group))
		case !isGroup && d.cfg.Identities[m] == nil:
			d.failf(at, "%s", d.noIdentity(m))
		}
	}
	return members
}
