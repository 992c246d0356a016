package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Resolve decides what an authenticated identity gets on a database. asked is a tier's name as Asked returns it, "" for
// none; from is the client's address, invalid on a Unix socket.
//
// Asking is refused, never downgraded. An error is FATAL and holds authorisation detail: it is for authenticated clients.
func (p *Policy) Resolve(identity, database, asked string, from netip.Addr, now time.Time) (*Decision, *pgerr.Error) {
	v := p.judge(identity, database, asked, circumstancesOf(from, now))
	if v.err != nil {
		return nil, v.err
	}
	return v.decision(), nil
}

// verdict is one resolution with everything that led to it, so that Explain tells what Resolve did and not what somebody
// believes that it does.
type verdict struct {
	subject  *subject
	asked    string
	database *config.Database

	considered []*config.Grant // in the order of the file
	whyNot     []string        // of each of considered; "" = it holds
	denies     []*config.Deny  // those that hold
	granted    []string        // tiers that the holding grants give and the database has, from the least powerful
	allowed    []string        // granted, without those denied

	tier   string          // the tier chosen, also when it is then refused
	chosen string          // how it was chosen, for Explain
	by     []*config.Grant // the holding grants that give tier
	role   string          // the role that the session runs as; "" = the login itself

	err *pgerr.Error
}

// judge goes through the ten lines of the design's "Resolution" from the third on: the identity has been authenticated.
func (p *Policy) judge(identity, database, asked string, c circumstances) *verdict {
	v := &verdict{asked: asked, subject: p.subjects[identity], database: p.databases[database]}
	switch {
	case v.subject == nil || v.subject.identity.Disabled:
		v.err = authenticationFailed(identity)
		return v
	case v.database == nil:
		v.err = p.noDatabase(v.subject, database, c)
		return v
	}
	v.collect(c)
	v.choose()
	v.permit()
	if v.err == nil {
		v.assume()
	}
	return v
}

// authenticationFailed is the one answer to everything that is wrong with who somebody is.
func authenticationFailed(identity string) *pgerr.Error {
	return pgerr.Fatal(pgerr.InvalidPassword, "password authentication failed for user \"%s\"", identity)
}

// collect gathers the rules that hold and what they come to.
func (v *verdict) collect(c circumstances) {
	name := v.database.Name
	tiers := map[string]bool{}
	v.considered = v.subject.grants(name)
	for _, g := range v.considered {
		why := v.subject.whyNot(g, c)
		v.whyNot = append(v.whyNot, why)
		for _, t := range g.Tiers {
			tiers[t] = tiers[t] || why == "" && v.database.Tiers[t] != nil
		}
	}
	v.denies = slices.DeleteFunc(v.subject.denies(name), func(d *config.Deny) bool { return !v.subject.denied(d, c) })
	for _, t := range config.Tiers() {
		if !tiers[t] {
			continue
		}
		v.granted = append(v.granted, t)
		if v.denyOf(t) == nil {
			v.allowed = append(v.allowed, t)
		}
	}
}

// denyOf is the first deny that takes a tier away.
func (v *verdict) denyOf(tier string) *config.Deny {
	for _, d := range v.denies {
		if len(d.Tiers) == 0 || slices.Contains(d.Tiers, tier) {
			return d
		}
	}
	return nil
}

// holding are the grants that hold.
func (v *verdict) holding() []*config.Grant {
	var out []*config.Grant
	for i, g := range v.considered {
		if v.whyNot[i] == "" {
			out = append(out, g)
		}
	}
	return out
}

// choose sets tier: what was asked for, or the default. It looks at grants only, not at denies: if a deny could move the
// choice, denying one tier could lead to a more powerful one.
func (v *verdict) choose() {
	switch {
	case v.asked != "":
		v.tier, v.chosen = v.asked, "asked for"
	case v.grantDefault() != "":
		v.tier = v.grantDefault()
	case slices.Contains(v.granted, v.database.DefaultTier):
		v.tier, v.chosen = v.database.DefaultTier, "the default_tier of the database ("+v.database.Pos.Short()+")"
	case len(v.granted) == 1:
		v.tier, v.chosen = v.granted[0], "the only one granted"
	}
	for _, g := range v.holding() {
		if slices.Contains(g.Tiers, v.tier) {
			v.by = append(v.by, g)
		}
	}
}

// grantDefault is the default of the holding grants: the least powerful, although the configuration has only one.
func (v *verdict) grantDefault() string {
	for _, tier := range v.granted {
		for _, g := range v.holding() {
			if g.Default == tier {
				v.chosen = "the default of the grant at " + g.Pos.Short()
				return tier
			}
		}
	}
	return ""
}

// permit sets err unless the chosen tier may be used.
func (v *verdict) permit() {
	identity, database := v.subject.identity.Name, v.database.Name
	switch {
	case len(v.allowed) == 0:
		v.err = pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied: \"%s\" has no access to database \"%s\"", identity, database)
	case v.tier == "":
		v.err = pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied: \"%s\" must ask for a tier on database \"%s\"", identity, database).
			WithHint("%s", v.hint())
	case !slices.Contains(v.allowed, v.tier):
		v.err = pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied: \"%s\" may not use tier \"%s\" on database \"%s\"", identity, v.tier, database).
			WithHint("%s", v.hint())
	}
}

func (v *verdict) hint() string {
	return fmt.Sprintf("Allowed: %s. Ask for one with user \"%s~%s\".", strings.Join(v.allowed, ", "), v.subject.identity.Name, v.allowed[0])
}

// decision is what a verdict without an error comes to.
func (v *verdict) decision() *Decision {
	tier := v.database.Tiers[v.tier]
	d := &Decision{
		Identity: v.subject.identity.Name,
		Groups:   v.subject.groups,
		Asked:    v.asked,
		Tier:     tier,
		Role:     v.role,
		Grant:    v.by[0],
	}
	limits, timeouts := d.Grant.Limits, d.Grant.Timeouts
	for _, g := range v.by[1:] {
		limits, timeouts = limits.Loosest(g.Limits), timeouts.Loosest(g.Timeouts)
		if later(g.Expires, d.Grant.Expires) {
			d.Grant = g
		}
	}
	d.Expires = d.Grant.Expires
	d.Limits = tier.Limits.Strictest(limits)
	d.Timeouts = tier.Timeouts.Strictest(timeouts)
	return d
}

// later compares expiries, of which zero is never.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

// noDatabase is the answer to a name that does not exist. It suggests only what the identity may use.
func (p *Policy) noDatabase(s *subject, database string, c circumstances) *pgerr.Error {
	err := pgerr.Fatal(pgerr.InvalidCatalogName, "database \"%s\" does not exist", database)
	var usable []string
	for name, db := range p.databases {
		v := &verdict{subject: s, database: db}
		if v.collect(c); len(v.allowed) > 0 {
			usable = append(usable, name)
		}
	}
	near := config.Closest(database, usable)
	switch {
	case near == "":
		return err
	case strings.EqualFold(near, database):
		return err.WithHint("Names are case-sensitive: did you mean \"%s\"?", near)
	}
	return err.WithHint("Did you mean \"%s\"?", near)
}
