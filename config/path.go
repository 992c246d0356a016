package config

import (
	"fmt"
	"maps"
	"strings"
)

// PathTemplate is the path of a file that each identity has one of, such as "/etc/pgtier/people/{role}.crt". What is the same
// for every session was filled in when the file was read. It is immutable.
//
// Who may choose a name, as of an identity, must not choose a directory: see badFileName.
type PathTemplate struct {
	text  string
	parts []rolePart
}

// String is the template as it was written, made absolute.
func (t *PathTemplate) String() string { return t.text }

// Fixed says whether the path is the same for everybody.
func (t *PathTemplate) Fixed() bool { return len(t.parts) == 1 && t.parts[0].name == "" }

// Fill returns the path for a session of identity that runs as role. An error names what must not be in a path.
func (t *PathTemplate) Fill(identity, role string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		s := p.fill(identity, role)
		if p.name != "" {
			if bad := badFileName(s); bad != "" {
				return "", fmt.Errorf("{%s} is %q in %q: it %s", p.name, s, t.text, bad)
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// badFileName says why a name cannot stand in a path, as the end of a sentence; "" when it can. Without a slash a name stays
// within one step of the path, and ".." cannot come about: neither as a whole nor of a dot in the template and one in the name.
func badFileName(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case s == "." || s == "..":
		return "would be a directory"
	case strings.ContainsAny(s, "/\x00"):
		return "must not contain a slash or a zero byte"
	}
	return ""
}

// pathTemplate reads a path with placeholders: those of roles, where {role} is the role that the session runs as. nil when
// there is none, or when it is wrong, which is reported.
func (d *decoder) pathTemplate(tier *Tier, t *table, key string) *PathTemplate {
	path := t.file(key)
	if path == "" {
		return nil
	}
	parts, err := parseRole(path)
	if err != nil {
		t.failf(key, "%s %q: %v", key, path, err)
		return nil
	}
	known := map[string]string{placeDatabase: tier.Database.Name, placeTier: tier.Name}
	maps.Copy(known, tier.Database.Vars)
	for _, p := range parts {
		if value, ok := known[p.name]; ok && p.name != "" && badFileName(value) != "" {
			t.failf(key, "%s %q: {%s} is %q: it %s", key, path, p.name, value, badFileName(value))
			return nil
		}
	}
	bound := bind(parts, known)
	if !d.places(t, key, path, bound, tier.Database) {
		return nil
	}
	return &PathTemplate{text: path, parts: bound}
}
