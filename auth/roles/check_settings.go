package roles

import (
	"fmt"
	"slices"
	"strings"
)

// roleSettings reports ALTER ROLE ... SET of a role that sessions run as and that does not take effect: PostgreSQL applies
// them to logins only. Shared pools apply them as a login of the role would, see package session.
func (c *checkup) roleSettings() {
	if c.tier.Isolation == "shared" || c.tier.Isolation == "login" {
		return
	}
	for _, r := range c.existing() {
		if r.OID == c.facts.Login {
			continue
		}
		var names, fix []string
		for _, s := range c.settings {
			if name, _ := s.split(); s.Role == r.OID && !c.inEffect(s) {
				names = append(names, show(name))
				fix = append(fix, c.alter(c.tier.Login, s))
			}
		}
		if len(names) == 0 {
			continue
		}
		severity, hint := Warning, ""
		if c.tier.RoleTemplate.PerSession() {
			severity, fix, hint = Note, nil, `isolation = "shared" applies them`
		}
		f := c.add(severity, "role-settings", fmt.Sprintf("role %s has settings that do not take effect: %s", show(r.Name), listed(names)),
			"PostgreSQL applies ALTER ROLE ... SET to logins only, and the login is "+show(c.tier.Login), fix...)
		f.Hint = hint
	}
}

// inEffect says whether the login brings the same setting along, or the tier sends the parameter anyway.
func (c *checkup) inEffect(s setting) bool {
	name, value := s.split()
	for own := range c.tier.Settings {
		if strings.EqualFold(own, name) {
			return true
		}
	}
	return slices.ContainsFunc(c.settings, func(o setting) bool {
		n, v := o.split()
		return o.Role == c.facts.Login && n == name && v == value
	})
}

// loginSettings reports settings of the login itself that make its sessions something else than the configuration says.
// Clients of the tier can leave such settings behind: PostgreSQL lets every role alter its own.
func (c *checkup) loginSettings() {
	for _, s := range c.settings {
		name, value := s.split()
		if s.Role != c.facts.Login {
			continue
		}
		why := ""
		switch strings.ToLower(name) {
		case "role", "session_authorization":
			why = "its sessions begin as somebody else"
		case "local_preload_libraries", "session_preload_libraries":
			why = "its sessions begin with loading code, and fail when it is not there"
		default:
			continue
		}
		sql := "ALTER ROLE " + ident(c.tier.Login) + c.in(s) + " RESET " + ident(name) + ";"
		c.add(Error, "login-setting", fmt.Sprintf("login %s has the setting %s = %s", show(c.tier.Login), show(name), show(value)), why, sql)
	}
}

func (s setting) split() (name, value string) {
	name, value, _ = strings.Cut(s.Text, "=")
	return name, value
}

// alter gives a role a setting that another one has.
func (c *checkup) alter(role string, s setting) string {
	name, value := s.split()
	return "ALTER ROLE " + ident(role) + c.in(s) + " SET " + settingIdent(name) + " TO " + settingValue(name, value) + ";"
}

func (c *checkup) in(s setting) string {
	if s.Here {
		return " IN DATABASE " + ident(c.facts.Database)
	}
	return ""
}

// settingIdent quotes the parts of a name: extension.setting is two identifiers.
func settingIdent(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = ident(parts[i])
	}
	return strings.Join(parts, ".")
}

// lists are the settings whose value is a list of names: written as one literal they would be one name (PostgreSQL source,
// GUC_LIST_QUOTE).
var lists = []string{"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
	"temp_tablespaces", "unix_socket_directories"}

// settingValue writes a value as ALTER ROLE ... SET takes it.
func settingValue(name, value string) string {
	if !slices.Contains(lists, strings.ToLower(name)) {
		return literal(value)
	}
	var out []string
	for _, item := range splitList(value) {
		out = append(out, literal(item))
	}
	if len(out) == 0 {
		return "''"
	}
	return strings.Join(out, ", ")
}

// splitList takes a stored list of names apart: names may be in double quotes, where a comma is a comma.
func splitList(s string) (out []string) {
	var item strings.Builder
	quoted, any := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			item.WriteByte('"')
			i++
		case c == '"':
			quoted, any = !quoted, true
		case c == ',' && !quoted:
			out = append(out, item.String())
			item.Reset()
			any = false
		case (c == ' ' || c == '\t' || c == '\n') && !quoted:
		default:
			item.WriteByte(c)
			any = true
		}
	}
	if any {
		out = append(out, item.String())
	}
	return out
}
