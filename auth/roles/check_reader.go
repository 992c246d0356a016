package roles

import (
	"fmt"
	"slices"
	"strings"
)

// writing are the privileges of each kind of object that change something, or make others' writing do so.
var writing = map[string][]string{
	"TABLE":        {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"},
	"LARGE OBJECT": {"UPDATE"},
	"SEQUENCE":     {"USAGE", "UPDATE"},
}

// writes reports privileges of a reader that are not reading, by who has been granted them.
func (c *checkup) writes() {
	c.grants("ro-write", "a reader can change what others read", func(p privilege) bool {
		return p.Kind != "SEQUENCE" && slices.Contains(writing[p.Kind], p.Privilege)
	})
	c.grants("ro-sequence", "a reader can use up its numbers", func(p privilege) bool {
		return p.Kind == "SEQUENCE" && slices.Contains(writing[p.Kind], p.Privilege)
	})
}

// creates reports places in which a reader can make objects.
func (c *checkup) creates() {
	c.grants("ro-create", "a reader can make objects, and fill the disk", func(p privilege) bool {
		return p.Privilege == "CREATE" && (p.Kind == "SCHEMA" || p.Kind == "DATABASE")
	})
	for _, f := range c.grants("ro-temp", "a reader can fill the disk with temporary tables", func(p privilege) bool {
		return p.Privilege == "TEMPORARY"
	}) {
		if strings.HasSuffix(f.Fix[0], "FROM PUBLIC;") {
			f.Hint = fmt.Sprintf("others lose it too; where they need it: GRANT TEMPORARY ON DATABASE %s TO ...", ident(c.facts.Database))
		}
	}
}

// grants adds an error for each grantee with privileges that wrong picks.
func (c *checkup) grants(code, why string, wrong func(privilege) bool) (out []*Finding) {
	var list []privilege
	for _, p := range c.privileges {
		if wrong(p) {
			list = append(list, p)
		}
	}
	names, groups := byGrantee(c.graph, list)
	c.out = slices.Grow(c.out, len(names)) // keeps the findings in place
	for _, name := range names {
		g := groups[name]
		out = append(out, c.add(Error, code, name+" has "+summary(g), why, revokes(c.graph, g)...))
	}
	return out
}

// ownership reports what a reader owns: an owner may do anything with it, whatever the grants say.
func (c *checkup) ownership() {
	for _, r := range c.sorted(c.reaches) {
		owned := c.ownedBy(r.OID)
		if len(owned) == 0 || strings.HasPrefix(r.Name, "pg_") {
			continue
		}
		c.add(Error, "ro-owns", fmt.Sprintf("%s owns %s", show(r.Name), listed(owned)),
			"an owner may change, drop and give away what is its own", c.reassign(r.Name))
	}
}

// definers lists the functions through which a reader acts with the rights of somebody else. What PUBLIC may call is
// probably an oversight: that is the default. What has been granted to somebody was meant.
func (c *checkup) definers() {
	for _, f := range c.functions {
		if !f.Definer || c.reaches[f.Owner] {
			continue
		}
		name := qualified(f.Schema, f.Name) + "(" + f.Arguments + ")"
		what := fmt.Sprintf("%s may call %s, which runs as its owner %s", c.graph.name(f.Grantee), oneLine(name), c.graph.name(f.Owner))
		const why = "a reader does through it whatever it does"
		if f.Grantee != public {
			c.add(Note, "ro-definer-function", what, why)
			continue
		}
		var fix []string
		if printable(f.Arguments) {
			fix = asGrantor(c.graph, f.Owner, f.Grantor, "REVOKE EXECUTE ON FUNCTION "+name+" FROM PUBLIC;")
		}
		c.add(Warning, "ro-definer-function", what, why, fix...).Hint = "grant EXECUTE to those who are meant to call it"
	}
}

// stillCan notes what a reader can do that grants of tables say nothing about.
func (c *checkup) stillCan() {
	has := granted(c.public)
	all := changes(c.facts.major(), c.facts.Database, nil)
	for _, m := range measures {
		if !m.readers {
			continue
		}
		open := slices.DeleteFunc(ofMeasure(all, m), func(ch change) bool { return !slices.Contains(has[ch.key()], public) })
		var names []string
		for _, ch := range open {
			if name := ch.label(); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(open) > 0 {
			c.add(Note, "ro-still-can", "a reader may call "+listed(names), m.why, "REVOKE "+on(open)+" FROM PUBLIC;")
		}
	}
	c.add(Note, "ro-still-can", "a reader may NOTIFY, LISTEN, LOCK in ACCESS SHARE mode, and use CPU, memory and temporary files",
		"no privilege stands before them").Hint = "the tier's timeouts bound them"
	if c.facts.LargeObjectCompat {
		c.add(Error, "ro-write", "the server has lo_compat_privileges = on", "everybody may write every large object",
			"ALTER SYSTEM SET lo_compat_privileges = off;", "SELECT pg_reload_conf();")
	}
	if c.facts.PreparedTransactions > 0 {
		c.add(Note, "ro-still-can", fmt.Sprintf("the server has max_prepared_transactions = %d", c.facts.PreparedTransactions),
			"a reader may leave prepared transactions behind, which hold locks and dead rows for ever").
			Hint = "set it to 0 where nothing needs it; takes a restart"
	}
}
