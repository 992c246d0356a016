package auth

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgtier/pgtier/config"
)

// Policy answers what an identity may have. It is made of one configuration and immutable, as that is: it may be used from
// any goroutine, and a reload makes a new one.
//
// Grants add up and have no order: what any of them gives, one has. Where several give the same tier, the latest expiry,
// the largest limit and the longest timeout of them hold, within those of the tier. Denies only take away: a deny never
// makes another tier the chosen one. Only of roles there can be no more than one: where grants would give a tier several,
// it is given with none of them, which means not at all.
type Policy struct {
	databases map[string]*config.Database
	groups    map[string]*config.Group
	subjects  map[string]*subject
	console   map[string]consoleEntry // of every identity that has a right there

	consolePos *config.Pos // of [console]; nil: there is none
}

// subject is an identity with all the rules that are for it.
type subject struct {
	identity *config.Identity
	groups   []string // sorted
	rules    []*rules // for itself, for its groups, for everybody
}

// rules are those with the same "to", by database; those for every database are under "*".
type rules struct {
	grants map[string][]*config.Grant
	denies map[string][]*config.Deny
}

// NewPolicy indexes the rules of cfg.
func NewPolicy(cfg *config.Config) *Policy {
	byTo := map[string]*rules{}
	to := func(name string) *rules {
		r := byTo[name]
		if r == nil {
			r = &rules{grants: map[string][]*config.Grant{}, denies: map[string][]*config.Deny{}}
			byTo[name] = r
		}
		return r
	}
	for _, g := range cfg.Grants {
		grants := to(g.To).grants
		grants[g.Database] = append(grants[g.Database], g)
	}
	for _, d := range cfg.Denies {
		database := d.Database
		if database == "" {
			database = "*"
		}
		denies := to(d.To).denies
		denies[database] = append(denies[database], d)
	}
	p := &Policy{databases: cfg.Databases, groups: cfg.Groups, subjects: make(map[string]*subject, len(cfg.Identities))}
	groups := cfg.GroupsOf()
	if p.console = consoleRights(cfg, groups); cfg.Console != nil {
		p.consolePos = &cfg.Console.Pos
	}
	for name, identity := range cfg.Identities {
		s := &subject{identity: identity, groups: groups[name]}
		names := []string{name, "*"}
		for _, g := range s.groups {
			names = append(names, "@"+g)
		}
		for _, n := range names {
			if r := byTo[n]; r != nil {
				s.rules = append(s.rules, r)
			}
		}
		p.subjects[name] = s
	}
	return p
}

// circumstances are what rules may depend on besides the identity. A client on a Unix socket has no address and counts as
// coming from the loopback addresses.
type circumstances struct {
	from netip.Addr // unmapped, without zone; invalid on a Unix socket
	now  time.Time
}

func circumstancesOf(from netip.Addr, now time.Time) circumstances {
	// A prefix never contains an address with a zone: without this, a deny of fe80::/10 would not hold for fe80::1%eth0.
	return circumstances{from: from.Unmap().WithZone(""), now: now}
}

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// within says whether the client comes from one of prefixes. None means from anywhere.
func (c circumstances) within(prefixes []netip.Prefix) bool {
	if len(prefixes) == 0 {
		return true
	}
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		if !c.from.IsValid() {
			return slices.ContainsFunc(loopbacks, p.Contains)
		}
		return p.Contains(c.from)
	})
}

// grants are those for the subject on a database, holding or not, in the order of the file.
func (s *subject) grants(database string) []*config.Grant {
	var out []*config.Grant
	for _, r := range s.rules {
		out = append(append(out, r.grants[database]...), r.grants["*"]...)
	}
	slices.SortStableFunc(out, func(a, b *config.Grant) int { return a.Pos.Line - b.Pos.Line })
	return out
}

// denies are those for the subject on a database, holding or not, in the order of the file.
func (s *subject) denies(database string) []*config.Deny {
	var out []*config.Deny
	for _, r := range s.rules {
		out = append(append(out, r.denies[database]...), r.denies["*"]...)
	}
	slices.SortStableFunc(out, func(a, b *config.Deny) int { return a.Pos.Line - b.Pos.Line })
	return out
}

// whyNot says why a grant does not hold, "" when it does.
func (s *subject) whyNot(g *config.Grant, c circumstances) string {
	switch {
	case !g.Expires.IsZero() && !c.now.Before(g.Expires):
		return "expired " + g.Expires.Format(time.RFC3339)
	case !c.within(g.From):
		return "the client's address is not in " + joined(g.From)
	case !config.Holds(g.When, s.identity.Attributes):
		return "needs attributes " + attributes(g.When)
	}
	return ""
}

// denied says whether a deny holds.
func (s *subject) denied(d *config.Deny, c circumstances) bool {
	return c.within(d.From) && config.Holds(d.When, s.identity.Attributes)
}

func joined(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// attributes writes a condition for people: department = sales, status = a | b.
func attributes(when map[string][]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(when)) {
		out = append(out, name+" = "+strings.Join(when[name], " | "))
	}
	return strings.Join(out, ", ")
}
