package roles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// target writes the object of a privilege as in REVOKE ... ON target.
func (p privilege) target() string {
	if p.Kind == "LARGE OBJECT" {
		return p.Kind + " " + p.Name // a number
	}
	return p.Kind + " " + qualified(p.Schema, p.Name)
}

// label names the object for people.
func (p privilege) label() string {
	switch {
	case p.Kind == "LARGE OBJECT":
		return "large object " + p.Name
	case p.Schema == "":
		return show(p.Name)
	case p.Column != "":
		return show(p.Schema, p.Name, p.Column)
	}
	return show(p.Schema, p.Name)
}

// revokes writes the statements that take privileges away: one for each object, column and grantee.
//
// A superuser's REVOKE takes back what the owner of the object granted; what others granted, they must take back.
func revokes(g *graph, list []privilege) []string {
	type group struct {
		target, column          string
		owner, grantor, grantee uint32
	}
	words := map[group][]string{}
	var order []group
	for _, p := range list {
		k := group{p.target(), p.Column, p.Owner, p.Grantor, p.Grantee}
		if words[k] == nil {
			order = append(order, k)
		}
		words[k] = append(words[k], p.Privilege)
	}
	var out []string
	for _, k := range order {
		privileges := strings.Join(words[k], ", ")
		if k.column != "" {
			privileges = strings.Join(words[k], " ("+ident(k.column)+"), ") + " (" + ident(k.column) + ")"
		}
		sql := fmt.Sprintf("REVOKE %s ON %s FROM %s;", privileges, k.target, g.name(k.grantee))
		out = append(out, asGrantor(g, k.owner, k.grantor, sql)...)
	}
	return out
}

// asGrantor makes a statement that must run as somebody else than a superuser do so.
func asGrantor(g *graph, owner, grantor uint32, sql string) []string {
	if grantor == owner || grantor == public {
		return []string{sql}
	}
	return []string{"SET ROLE " + g.name(grantor) + ";", sql, "RESET ROLE;"}
}

// byGrantee groups a list, in the order of names.
func byGrantee(g *graph, list []privilege) (names []string, groups map[string][]privilege) {
	groups = map[string][]privilege{}
	for _, p := range list {
		name := g.name(p.Grantee)
		groups[name] = append(groups[name], p)
	}
	return slices.Sorted(maps.Keys(groups)), groups
}

// summary says which privileges on which objects a list is about.
func summary(list []privilege) string {
	var words, objects []string
	for _, p := range list {
		if !slices.Contains(words, p.Privilege) {
			words = append(words, p.Privilege)
		}
		if label := p.label(); !slices.Contains(objects, label) {
			objects = append(objects, label)
		}
	}
	return strings.Join(words, ", ") + " on " + listed(objects)
}
