package config

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgtier/pgtier/auth/scram"
)

// maxIdentity bounds the names of identities. They are not PostgreSQL's names: a mail address may be longer than 63 bytes.
const maxIdentity = 255

func (d *decoder) identities(top *table) {
	d.cfg.Identities = map[string]*Identity{}
	d.each(top, "identities", kindIdentity, func(name string, t *table) {
		id := &Identity{
			Name:       name,
			Pos:        t.n.start,
			Verifiers:  d.verifiers(t),
			Passwords:  d.values(t.secrets("password")),
			Certs:      t.strs("cert"),
			Peer:       t.str("peer"),
			Attributes: t.lists("attributes"),
			Disabled:   t.boolean("disabled", false),
		}
		d.cfg.Identities[name] = id
		d.where[id] = t
		if bad := badIdentity(name); bad != "" {
			d.failf(t.n.key, "identity %q: %s; choose another name", name, bad)
		}
		for i, c := range id.Certs {
			if err := checkCert(c); err != nil {
				d.failf(t.itemAt("cert", i), "cert %q: %v", c, err)
			}
		}
		if !id.Disabled && !t.has("scram") && !t.has("password") && !t.has("cert") && !t.has("peer") {
			d.failf(id.Pos, "identity %q cannot log in; write one of: scram, password, cert, peer (or disabled = true)", name)
		}
	})
}

// badIdentity says what is wrong with the name of an identity, "" when nothing is.
func badIdentity(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case strings.ContainsRune(name, 0):
		return "a zero byte cannot be in a name"
	case strings.ContainsRune(name, '~'):
		return `"~" is reserved for asking for a tier`
	case strings.HasPrefix(name, "@"):
		return `"@" is reserved for groups`
	case name == "*":
		return `"*" is reserved for everybody`
	case len(name) > maxIdentity:
		return fmt.Sprintf("the name is longer than %d bytes", maxIdentity)
	}
	return ""
}

// verifiers are the SCRAM verifiers of an identity. They may stand in the file: a password cannot be had from one, short
// of guessing.
func (d *decoder) verifiers(t *table) []string {
	inline := d.inline
	d.inline = true
	sources := t.secrets("scram")
	d.inline = inline
	var out []string
	var first scram.Verifier
	for _, s := range sources {
		text, ok := s.value()
		if !ok {
			continue
		}
		v, err := scram.ParseVerifier(text)
		switch {
		case err != nil:
			d.failf(s.pos, "scram: %v; make one with: pgtier hash-password", err)
		case len(out) == 0:
			first = v
		case !bytes.Equal(v.Salt(), first.Salt()) || v.Iterations() != first.Iterations():
			// The server names one salt before it knows which password the client has.
			d.failf(s.pos, "this verifier has another salt or iteration count than the first one and could never be used; "+
				"make it with: pgtier hash-password --like FIRST")
		}
		out = append(out, text)
	}
	return out
}

// checkCert says what is wrong with the name that a client certificate must carry.
func checkCert(s string) error {
	for _, prefix := range []string{"CN=", "DNS:", "URI:", "email:"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok && rest != "" {
			return nil
		}
	}
	return fmt.Errorf(`write "CN=name", "DNS:name", "URI:uri" or "email:address"`)
}

func (d *decoder) groups(top *table) {
	d.cfg.Groups = map[string]*Group{}
	t := top.sub("groups", kindNames)
	if t == nil {
		return
	}
	for _, name := range t.names() {
		g := &Group{Name: name, Pos: t.keyAt(name), Members: t.strs(name)}
		d.cfg.Groups[name] = g
		if bad := badText(name); bad != "" || strings.HasPrefix(name, "@") {
			d.failf(g.Pos, `group %q: the name must not be empty and is written without "@" here`, name)
		}
		for i, m := range g.Members {
			switch {
			case m == "" || d.cfg.Identities[m] != nil:
			case strings.HasPrefix(m, "@"):
				d.failf(t.itemAt(name, i), "group %q: groups do not contain groups; list the identities", name)
			default:
				d.failf(t.itemAt(name, i), "identity %q is not defined%s", m, suggest(m, d.cfg.Identities))
			}
		}
	}
}

func (d *decoder) grants(top *table) {
	for _, t := range top.tables("grants", kindGrant) {
		g := &Grant{
			Pos:      t.n.start,
			To:       d.subject(t),
			Database: d.databaseOf(t, true),
			Tiers:    d.tierList(t),
			Default:  t.word("default", "", Tiers()...),
			Role:     t.plain("role"),
			From:     d.prefixes(t),
			When:     t.lists("when"),
			Expires:  t.instant("expires"),
		}
		if !t.has("tiers") {
			d.failf(g.Pos, `grant has no tiers; write tiers = ["ro"]`)
		}
		if s := t.sub("limits", kindGrantLimits); s != nil {
			g.Limits = s.grantLimits()
		}
		if s := t.sub("timeouts", kindGrantTimeouts); s != nil {
			g.Timeouts = s.timeouts(Timeouts{})
		}
		if g.Default != "" && !slices.Contains(g.Tiers, g.Default) && t.has("tiers") {
			t.failf("default", "default = %q is not one of the grant's tiers", g.Default)
		}
		d.cfg.Grants = append(d.cfg.Grants, g)
		d.where[g] = t
	}
}

func (d *decoder) denies(top *table) {
	for _, t := range top.tables("denies", kindDeny) {
		deny := &Deny{
			Pos:      t.n.start,
			To:       d.subject(t),
			Database: d.databaseOf(t, false),
			Tiers:    d.tierList(t),
			From:     d.prefixes(t),
			When:     t.lists("when"),
		}
		d.cfg.Denies = append(d.cfg.Denies, deny)
		d.where[deny] = t
	}
}

// subject is whom a rule is for: an identity, "@group" or "*".
func (d *decoder) subject(t *table) string {
	to := t.str("to")
	group, isGroup := strings.CutPrefix(to, "@")
	switch {
	case to == "":
		if !t.has("to") {
			d.failf(t.n.start, `no "to"; write to = an identity, "@group" or "*"`)
		}
	case to == "*":
	case isGroup && d.cfg.Groups[group] == nil:
		t.failf("to", "%s", d.noGroup(group))
	case !isGroup && d.cfg.Identities[to] == nil:
		t.failf("to", "%s", d.noIdentity(to))
	}
	return to
}

// noGroup says that a group is not defined, and which one may have been meant.
func (d *decoder) noGroup(name string) string {
	hint := ""
	if near := Closest(name, slices.Collect(maps.Keys(d.cfg.Groups))); near != "" {
		hint = fmt.Sprintf("; did you mean %q (line %d)?", "@"+near, d.cfg.Groups[near].Pos.Line)
	}
	return fmt.Sprintf("group %q is not defined%s", "@"+name, hint)
}

// noIdentity says that an identity is not defined, and what may have been meant.
func (d *decoder) noIdentity(name string) string {
	hint := suggest(name, d.cfg.Identities)
	if d.cfg.Groups[name] != nil {
		hint = fmt.Sprintf("; did you mean the group %q?", "@"+name)
	}
	return fmt.Sprintf("identity %q is not defined%s", name, hint)
}

func (d *decoder) databaseOf(t *table, required bool) string {
	name := t.str("database")
	switch {
	case name == "" && required && !t.has("database"):
		d.failf(t.n.start, `no "database"; write database = a name or "*"%s`, oneOf(maps.Keys(d.cfg.Databases)))
	case name != "" && name != "*" && d.cfg.Databases[name] == nil:
		t.failf("database", "database %q is not defined%s", name, suggest(name, d.cfg.Databases))
	}
	return name
}

// tierList reads tiers; the database that a rule names, or at least one of all, must have each.
func (d *decoder) tierList(t *table) []string {
	tiers := t.strs("tiers")
	for i, tier := range tiers {
		switch at := t.itemAt("tiers", i); {
		case tier == "":
		case !slices.Contains(Tiers(), tier):
			d.failf(at, "tier %q does not exist; the tiers are %s%s", tier, strings.Join(Tiers(), ", "), didYouMean(tier, Tiers()))
		default:
			d.tierExists(t, tier, at)
		}
	}
	return tiers
}

func (d *decoder) tierExists(t *table, tier string, at Pos) {
	name, _ := t.vals["database"].(string)
	if db := d.cfg.Databases[name]; db != nil {
		if db.Tiers[tier] == nil {
			d.failf(at, "database %q has no tier %q%s", name, tier, has(db))
		}
		return
	}
	for _, db := range d.cfg.Databases {
		if db.Tiers[tier] != nil {
			return
		}
	}
	if name == "*" || name == "" {
		d.failf(at, "no database has a tier %q", tier)
	}
}

// prefixes reads from: networks, or addresses, which are networks of one.
func (d *decoder) prefixes(t *table) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range t.strs("from") {
		if s == "" {
			continue // reported
		}
		p, err := parsePrefix(s)
		if err != nil {
			d.failf(t.itemAt("from", i), "from %q: %v", s, err)
			continue
		}
		out = append(out, p)
	}
	return out
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf(`write a network such as "10.20.0.0/16" or an address`)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("write the IPv4 network itself; clients that come over a mapped address are matched too")
	case p != p.Masked():
		return p, fmt.Errorf("the address has bits behind the mask; did you mean %q?", p.Masked())
	}
	return p, nil
}

// suggest ends a sentence about a name that all has not.
func suggest[V any](name string, all map[string]V) string {
	return didYouMean(name, slices.Collect(maps.Keys(all)))
}

// oneOf ends a sentence with the names there are, when they are few.
func oneOf(names iter.Seq[string]) string {
	list := slices.Sorted(names)
	if len(list) == 0 || len(list) > 8 {
		return ""
	}
	return " (defined: " + strings.Join(list, ", ") + ")"
}
