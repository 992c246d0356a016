package auth

import (
	"fmt"
	"slices"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// assume sets the role that the session runs as: what the template of the chosen tier comes to for this identity and the
// grants that give it the tier. The configuration has been checked, but names of identities are chosen by people: whatever
// must not be a role is refused here, and never answered with the login itself.
func (v *verdict) assume() {
	tier := v.database.Tiers[v.tier]
	template := tier.RoleTemplate
	if template == nil {
		v.role = tier.Role
		return
	}
	fill, several := v.grantRoles(template)
	role, complete := template.Fill(v.subject.identity.Name, fill)
	switch {
	case several != "":
		v.refuseRole("has several roles for tier %q on database %q %s", v.tier, v.database.Name, several)
	case !complete:
		v.refuseRole("has no role for tier %q on database %q", v.tier, v.database.Name)
	case config.BadRole(role) != "":
		v.refuseRole("cannot run as role %q on database %q: the name %s", role, v.database.Name, config.BadRole(role))
	case template.PerSession() && role == tier.Login:
		v.refuseRole("cannot run as role %q on database %q: it is the login of the tier, which everybody shares", role, v.database.Name)
	case tier.LogsInAsRole() && v.otherLogin(role) != "":
		v.refuseRole("cannot log in as %q on database %q: it is the login of tier %q", role, v.database.Name, v.otherLogin(role))
	default:
		v.role = role
	}
}

// otherLogin returns the tier of the database that has role for its login, "" when none has: whoever logs in as themselves
// must not come in through another tier's door.
func (v *verdict) otherLogin(role string) string {
	for _, name := range config.Tiers() {
		if t := v.database.Tiers[name]; t != nil && t.Login == role {
			return name
		}
	}
	return ""
}

// grantRoles is what {role} stands for: the one role of the grants that give the tier. several lists them when they do not
// agree. Templates without {role} do not ask.
func (v *verdict) grantRoles(template *config.RoleTemplate) (role, several string) {
	if !template.NeedsRole() {
		return "", ""
	}
	var roles []string
	for _, g := range v.by {
		if g.Role != "" && !slices.Contains(roles, g.Role) {
			roles = append(roles, g.Role)
		}
	}
	switch len(roles) {
	case 0:
		return "", ""
	case 1:
		return roles[0], ""
	}
	slices.Sort(roles)
	return "", fmt.Sprintf("%q", roles)
}

// refuseRole sets err. Names are quoted as Go does: those that got here may contain what must not be in a message.
func (v *verdict) refuseRole(format string, args ...any) {
	template := v.database.Tiers[v.tier].RoleTemplate
	v.err = pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied: %q %s", v.subject.identity.Name, fmt.Sprintf(format, args...)).
		WithHint("The role of tier %q is made of %q.", v.tier, template)
}

// madeOf says how the role came about, for Explain.
func (v *verdict) madeOf() string {
	tier := v.database.Tiers[v.tier]
	template := tier.RoleTemplate
	if template == nil || template.String() == v.role {
		return tier.Pos.Short()
	}
	made := fmt.Sprintf("from %q at %s", template, tier.Pos.Short())
	for _, g := range v.by {
		if template.NeedsRole() && g.Role != "" {
			return made + fmt.Sprintf(", {role} = %q at %s", g.Role, g.Pos.Short())
		}
	}
	return made
}
