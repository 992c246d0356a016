package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The placeholders that every template may have. Further ones are the vars of its database.
const (
	placeIdentity = "identity" // who the client is
	placeDatabase = "database" // the database as clients call it
	placeTier     = "tier"     // ro, rw or admin
	placeRole     = "role"     // the role of the grant
)

func reservedPlaces() []string { return []string{placeIdentity, placeDatabase, placeRole, placeTier} }

// RoleTemplate is the role of a tier as the file has it: a name, or one with placeholders. What is the same for every
// session ({database}, {tier} and the vars of the database) was filled in when the file was read; {identity} and {role} are
// left to Fill. It is immutable.
type RoleTemplate struct {
	text  string
	parts []rolePart // no two pieces of text side by side
}

// rolePart is a piece of text, or a placeholder when its name is not empty.
type rolePart struct{ text, name string }

// fill is the part's text in a session of identity and role.
func (p rolePart) fill(identity, role string) string {
	switch p.name {
	case placeIdentity:
		return identity
	case placeRole:
		return role
	}
	return p.text
}

// String is the template as it was written.
func (t *RoleTemplate) String() string { return t.text }

// NeedsIdentity says whether the role depends on who the client is.
func (t *RoleTemplate) NeedsIdentity() bool { return t.has(placeIdentity) }

// NeedsRole says whether the role depends on the grant.
func (t *RoleTemplate) NeedsRole() bool { return t.has(placeRole) }

// PerSession says whether the role may differ between two sessions of the tier. It may be called on nil.
func (t *RoleTemplate) PerSession() bool { return t != nil && (t.NeedsIdentity() || t.NeedsRole()) }

func (t *RoleTemplate) has(name string) bool {
	return slices.ContainsFunc(t.parts, func(p rolePart) bool { return p.name == name })
}

// Fill returns the role of a session of identity whose grant has role. Names go in as they are, byte for byte, and are not
// templates themselves. ok is false when something is missing that the template needs.
//
// The result may be a name that nobody must run as: it is for BadRole to say.
func (t *RoleTemplate) Fill(identity, role string) (name string, ok bool) {
	var b strings.Builder
	for _, p := range t.parts {
		s := p.fill(identity, role)
		if s == "" {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// BadRole says why no session may run as the role called name, as the end of a sentence about the name; "" when one may.
//
// "none" and "public" mean something else than a role to PostgreSQL, and the roles that begin with "pg_" are its own (among
// them those that read files and end other people's sessions). PostgreSQL compares such words after folding case where they
// are not quoted, so no spelling of them is taken here (PostgreSQL source, src/backend/catalog/catalog.c, IsReservedName;
// src/backend/commands/variable.c, check_role).
func BadRole(name string) string {
	switch {
	case badName(name) != "":
		return badName(name)
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case strings.EqualFold(name, "none") || strings.EqualFold(name, "public"):
		return "is reserved by PostgreSQL"
	case reservedPrefix(name):
		return `begins with "pg_", which PostgreSQL keeps for itself`
	}
	return ""
}

func reservedPrefix(name string) bool { return len(name) >= 3 && strings.EqualFold(name[:3], "pg_") }

// parseRole takes a template apart:
//
//	template    = { text | placeholder }
//	text        = bytes that are no braces
//	placeholder = "{" name "}"
//
// There is no way to write a brace: roles that have one in their name can only come in by a placeholder.
func parseRole(text string) ([]rolePart, error) {
	var parts []rolePart
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return append(parts, rolePart{text: rest}), nil
		}
		if rest[i] == '}' {
			return nil, fmt.Errorf(`there is a "}" without a "{"`)
		}
		if i > 0 {
			parts = append(parts, rolePart{text: rest[:i]})
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		switch {
		case !closed || strings.ContainsRune(name, '{'):
			return nil, fmt.Errorf(`there is a "{" without a "}"`)
		case name == "":
			return nil, fmt.Errorf("a placeholder has no name")
		}
		parts = append(parts, rolePart{name: name})
		rest = after
	}
	return parts, nil
}

// bind fills in what is known already and joins neighbouring pieces of text.
func bind(parts []rolePart, known map[string]string) []rolePart {
	var out []rolePart
	for _, p := range parts {
		if v, ok := known[p.name]; ok && p.name != "" {
			p = rolePart{text: v}
		}
		if n := len(out); n > 0 && p.name == "" && out[n-1].name == "" {
			out[n-1].text += p.text
			continue
		}
		out = append(out, p)
	}
	return out
}

// bad says what is wrong with every role that the template can come to, "" when some may be right.
func (t *RoleTemplate) bad() string {
	if name, ok := t.Fill("", ""); ok {
		switch bad := BadRole(name); {
		case bad == "":
			return ""
		case name == t.text:
			return "the name " + bad
		default:
			return fmt.Sprintf("the name %q %s", name, bad)
		}
	}
	shortest := 0
	for _, p := range t.parts {
		shortest += max(len(p.text), 1) // what is filled in is not empty
	}
	switch {
	case reservedPrefix(t.parts[0].text):
		return `every name that comes of it begins with "pg_", which PostgreSQL keeps for itself`
	case shortest > maxName:
		return fmt.Sprintf("every name that comes of it is longer than %d bytes; PostgreSQL cuts names there", maxName)
	}
	return ""
}
