package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// futures are the privileges that a tier needs on what is created later.
var futures = map[string][]struct {
	objects    string
	privileges []string
}{
	"ro": {{"TABLES", []string{"SELECT"}}},
	"rw": {{"TABLES", []string{"SELECT", "INSERT", "UPDATE", "DELETE"}}, {"SEQUENCES", []string{"USAGE"}}},
}

// defaultPrivileges reports who creates objects whose default privileges leave this tier out: after the next migration it
// would get "permission denied". A schema that the tier may not even use is none of its business.
//
// Where the role is made of the identity's name nothing is expected: such databases give each role what it needs.
func (c *checkup) defaultPrivileges() {
	if c.byIdentity() {
		return
	}
	for _, schema := range c.usable() {
		for _, maker := range c.makersIn(schema) {
			if c.reaches[maker.OID] || slices.Contains(c.readers, maker.Name) {
				continue // one has every right on what one makes; and what a reader makes is a finding itself
			}
			for _, future := range futures[c.tier.Name] {
				c.future(schema, maker, future.objects, future.privileges)
			}
		}
	}
}

// usable are the schemas that the tier may use, sorted.
func (c *checkup) usable() []string {
	names := map[string]bool{}
	for _, p := range c.schemas {
		if p.Privilege == "USAGE" && c.reaches[p.Grantee] {
			names[p.Schema] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// makersIn are the roles that create objects in a schema: those that have, and those that the admin tier runs as and that
// may.
func (c *checkup) makersIn(schema string) []*role {
	oids := map[uint32]bool{}
	for _, o := range c.creators {
		if o.Schema == schema {
			oids[o.Owner] = true
		}
	}
	for _, name := range c.makers {
		r := c.graph.byName[name]
		if r == nil {
			continue
		}
		rights := c.graph.inherits(r.OID)
		rights[public] = true
		if slices.ContainsFunc(c.schemas, func(p privilege) bool {
			return p.Schema == schema && p.Privilege == "CREATE" && rights[p.Grantee]
		}) {
			oids[r.OID] = true
		}
	}
	return c.sorted(oids)
}

func (c *checkup) future(schema string, maker *role, objects string, privileges []string) {
	var missing []string
	for _, word := range privileges {
		if !slices.ContainsFunc(c.defaults, func(p privilege) bool {
			return p.Owner == maker.OID && p.Kind == objects && p.Privilege == word &&
				(p.Schema == "" || p.Schema == schema) && c.reaches[p.Grantee]
		}) {
			missing = append(missing, word)
		}
	}
	if len(missing) == 0 {
		return
	}
	var to []string
	for _, name := range c.sessionRoles() {
		to = append(to, ident(name))
	}
	words := strings.Join(missing, ", ")
	var fix []string
	if len(to) > 0 {
		fix = []string{fmt.Sprintf("ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %s GRANT %s ON %s TO %s;",
			ident(maker.Name), ident(schema), words, objects, strings.Join(to, ", "))}
	}
	c.add(Warning, "default-privileges", fmt.Sprintf("what %s creates in schema %s will lack %s on %s for this tier",
		show(maker.Name), show(schema), words, strings.ToLower(objects)),
		`after the next migration clients would get "permission denied"`, fix...)
}
