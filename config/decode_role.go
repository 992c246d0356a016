package config

import (
	"maps"
	"slices"
	"strings"
)

// vars reads what placeholders of the database's own stand for.
func (t *table) vars() map[string]string {
	s := t.sub("vars", kindNames)
	if s == nil {
		return nil
	}
	out := make(map[string]string, len(s.vals))
	for _, name := range s.names() {
		if reservedPlace(name) {
			t.d.failf(s.keyAt(name), "var %q: {%s} has a meaning already; choose another name", name, strings.ToLower(name))
			continue
		}
		if !bareKey.MatchString(name) {
			t.d.failf(s.keyAt(name), "var %q: a name has letters, digits, _ and - only", name)
		}
		out[name] = s.plain(name)
	}
	return out
}

// reservedPlace says whether a name is one of the placeholders that every template may have, in whatever case: {Role} beside
// {role} would only deceive.
func reservedPlace(name string) bool {
	return slices.ContainsFunc(reservedPlaces(), func(r string) bool { return strings.EqualFold(r, name) })
}

// plain is a string in which no braces can be meant.
func (t *table) plain(name string) string {
	s := t.str(name)
	if strings.ContainsAny(s, "{}") {
		t.failf(name, "%q = %q: placeholders are not filled in here", name, s)
		return ""
	}
	return s
}

// role reads the role that sessions run as. What of it is the same for all of them is checked here, the rest when a client
// comes.
func (d *decoder) role(tier *Tier, t *table) {
	text := t.str("role")
	if text == "" {
		return
	}
	parts, err := parseRole(text)
	if err != nil {
		t.failf("role", "role %q: %v", text, err)
		return
	}
	known := map[string]string{placeDatabase: tier.Database.Name, placeTier: tier.Name}
	maps.Copy(known, tier.Database.Vars)
	template := &RoleTemplate{text: text, parts: bind(parts, known)}
	if !d.places(t, "role", text, template.parts, tier.Database) {
		return
	}
	if bad := template.bad(); bad != "" {
		t.failf("role", "role %q: %s", text, bad)
		return
	}
	tier.RoleTemplate = template
	if !template.PerSession() {
		tier.Role, _ = template.Fill("", "")
	}
}

// places says whether all placeholders are known that are left in the template text of a key.
func (d *decoder) places(t *table, key, text string, parts []rolePart, db *Database) bool {
	known := slices.Concat(reservedPlaces(), slices.Sorted(maps.Keys(db.Vars)))
	ok := true
	for _, p := range parts {
		if p.name == "" || slices.Contains(reservedPlaces(), p.name) {
			continue
		}
		ok = false
		t.failf(key, "%s %q: {%s} stands for nothing; known here: {%s}%s",
			key, text, p.name, strings.Join(known, "}, {"), didYouMean(p.name, known))
	}
	return ok
}
