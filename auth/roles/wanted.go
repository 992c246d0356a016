package roles

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
)

// wanted is what the configuration says about one tier.
type wanted struct {
	tier    *config.Tier
	roles   []string  // that sessions of the tier may run as, sorted; none when they run as the login
	others  []*wanted // the other tiers on the same server, of all databases
	makers  []string  // roles that the admin tier of the database creates objects as
	readers []string  // roles of the reading tier of the database

	demand      int            // server connections that all tiers on the server may open together
	perLogin    map[string]int // of these, those of each login
	perDatabase map[string]int // of these, those to each database of the server
}

// wantedOf works out all tiers, from the least to the most powerful within each database.
func wantedOf(cfg *config.Config, policy *auth.Policy, now time.Time) []*wanted {
	var all []*wanted
	for _, name := range slices.Sorted(maps.Keys(cfg.Databases)) {
		db := cfg.Databases[name]
		for _, tier := range config.Tiers() {
			if t := db.Tiers[tier]; t != nil {
				all = append(all, &wanted{tier: t, roles: rolesOf(cfg, policy, t, now)})
			}
		}
	}
	for _, w := range all {
		w.relate(all)
		w.count(all, cfg.Limits)
	}
	return all
}

// relate finds the other tiers on the server, and what those of the same database are to w.
func (w *wanted) relate(all []*wanted) {
	for _, o := range all {
		if o != w && sameServer(w.tier, o.tier) {
			w.others = append(w.others, o)
		}
		switch o.tier {
		case w.tier.Database.Tiers["admin"]:
			w.makers = o.sessionRoles()
		case w.tier.Database.Tiers["ro"]:
			w.readers = slices.Clone(o.sessionRoles())
			if !o.tier.LogsInAsRole() {
				w.readers = append(w.readers, o.tier.Login)
			}
		}
	}
}

// count adds up the connections that may be open to the server at once.
func (w *wanted) count(all []*wanted, limits config.Limits) {
	w.perLogin, w.perDatabase = map[string]int{}, map[string]int{}
	for _, o := range all {
		if sameServer(w.tier, o.tier) {
			n := o.connections()
			w.perLogin[o.tier.Login] += n
			w.perDatabase[o.tier.DBName] += n
		}
	}
	for name, n := range w.perDatabase {
		if limits.PerDatabase > 0 {
			n = min(n, limits.PerDatabase)
		}
		w.perDatabase[name] = n
		w.demand += n
	}
	if w.tier.Database.Server != nil && limits.PerServer > 0 {
		w.demand = min(w.demand, limits.PerServer)
	}
}

// sessionRoles are the roles that sessions run as: the login where the tier has none.
func (w *wanted) sessionRoles() []string {
	if len(w.roles) == 0 && w.tier.Role == "" && w.tier.RoleTemplate == nil {
		return []string{w.tier.Login}
	}
	return w.roles
}

// byIdentity says whether the role is made of the identity's name: then who may be one is open.
func (w *wanted) byIdentity() bool {
	return w.tier.RoleTemplate != nil && w.tier.RoleTemplate.NeedsIdentity()
}

// above says whether w is a more powerful tier than other.
func (w *wanted) above(other *wanted) bool {
	return slices.Index(config.Tiers(), w.tier.Name) > slices.Index(config.Tiers(), other.tier.Name)
}

// connections is how many the tier's pools may open: with isolation "role" there is a pool for each role; with "login" the size is
// of all pools together.
func (w *wanted) connections() int {
	n := w.tier.Pool.Size + w.tier.Pool.Reserve
	if w.tier.Isolation == "role" {
		n *= max(1, len(w.roles))
	}
	return n
}

// rolesOf asks the policy, as a client would, for every identity and from everywhere that a rule makes a difference.
func rolesOf(cfg *config.Config, policy *auth.Policy, t *config.Tier, now time.Time) []string {
	if t.RoleTemplate == nil && t.Role == "" {
		return nil
	}
	found := map[string]bool{}
	if t.Role != "" {
		found[t.Role] = true // also when nobody is granted the tier yet
	}
	places := origins(cfg)
	for identity := range cfg.Identities {
		for _, from := range places {
			if d, err := policy.Resolve(identity, t.Database.Name, t.Name, from, now); err == nil && d.Role != "" {
				found[d.Role] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// origins are addresses that stand for all: a Unix socket, and both ends of every prefix in a rule.
func origins(cfg *config.Config) []netip.Addr {
	seen := map[netip.Addr]bool{{}: true}
	add := func(prefixes []netip.Prefix) {
		for _, p := range prefixes {
			seen[p.Masked().Addr()], seen[last(p)] = true, true
		}
	}
	for _, g := range cfg.Grants {
		add(g.From)
	}
	for _, d := range cfg.Denies {
		add(d.From)
	}
	return slices.Collect(maps.Keys(seen))
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// sameServer says whether two tiers have a host in common. Two names of one host are not recognised.
func sameServer(a, b *config.Tier) bool {
	for _, x := range a.Endpoints() {
		if slices.ContainsFunc(b.Endpoints(), func(y string) bool { return strings.EqualFold(x, y) }) {
			return true
		}
	}
	return false
}
