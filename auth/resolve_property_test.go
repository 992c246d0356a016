package auth

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/config"
)

// The world of the properties: small, so that rules meet.
var (
	worldIdentities = []string{"a", "b", "c"}
	worldDatabases  = []string{"D", "E"}
	worldFrom       = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%x")}
	worldPrefixes   = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fe80::/10")}
)

func drawConfig(t *rapid.T) *config.Config {
	cfg := &config.Config{Databases: map[string]*config.Database{}, Identities: map[string]*config.Identity{}}
	for _, name := range worldDatabases {
		db := &config.Database{Name: name, Tiers: map[string]*config.Tier{}}
		for _, tier := range rapid.SliceOfNDistinct(rapid.SampledFrom(config.Tiers()), 1, 3, rapid.ID).Draw(t, "tiers of "+name) {
			db.Tiers[tier] = &config.Tier{Name: tier, Database: db, Login: name + tier}
			if db.DefaultTier == "" && rapid.Bool().Draw(t, "default_tier") {
				db.DefaultTier = tier
			}
		}
		cfg.Databases[name] = db
	}
	for _, name := range worldIdentities {
		id := &config.Identity{Name: name}
		if rapid.Bool().Draw(t, "attribute") {
			id.Attributes = map[string][]string{"s": {"q"}}
		}
		cfg.Identities[name] = id
	}
	cfg.Groups = map[string]*config.Group{"g": {Name: "g", Members: worldIdentities[:2]}, "h": {Name: "h", Members: worldIdentities[1:]}}
	cfg.Grants = rapid.SliceOfN(rapid.Custom(drawGrant), 0, 5).Draw(t, "grants")
	cfg.Denies = rapid.SliceOfN(rapid.Custom(drawDeny), 0, 2).Draw(t, "denies")
	number(cfg)
	return cfg
}

// number gives the rules lines, as a file would.
func number(cfg *config.Config) {
	for i, g := range cfg.Grants {
		g.Pos.Line = i + 1
	}
	for i, d := range cfg.Denies {
		d.Pos.Line = 100 + i
	}
}

func drawTo(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "@g", "@h", "*"}).Draw(t, "to")
}

func drawWhen(t *rapid.T) map[string][]string {
	if rapid.IntRange(0, 3).Draw(t, "when") == 0 {
		return map[string][]string{"s": {"q", "r"}}
	}
	return nil
}

func drawFrom(t *rapid.T) []netip.Prefix {
	return rapid.SliceOfN(rapid.SampledFrom(worldPrefixes), 0, 1).Draw(t, "from")
}

func drawGrant(t *rapid.T) *config.Grant {
	g := &config.Grant{
		To:       drawTo(t),
		Database: rapid.SampledFrom([]string{"D", "E", "*"}).Draw(t, "database"),
		Tiers:    rapid.SliceOfNDistinct(rapid.SampledFrom(config.Tiers()), 1, 3, rapid.ID).Draw(t, "tiers"),
		From:     drawFrom(t),
		When:     drawWhen(t),
		Limits:   config.GrantLimits{Connections: rapid.IntRange(0, 3).Draw(t, "connections")},
		Timeouts: config.Timeouts{Query: time.Duration(rapid.IntRange(0, 3).Draw(t, "query"))},
	}
	if rapid.Bool().Draw(t, "has default") {
		g.Default = g.Tiers[0]
	}
	if n := rapid.IntRange(-1, 3).Draw(t, "expires"); n != 0 {
		g.Expires = today.Add(time.Duration(n) * time.Hour)
	}
	return g
}

func drawDeny(t *rapid.T) *config.Deny {
	return &config.Deny{
		To:       drawTo(t),
		Database: rapid.SampledFrom([]string{"D", "E", "*", ""}).Draw(t, "database"),
		Tiers:    rapid.SliceOfN(rapid.SampledFrom(config.Tiers()), 0, 2).Draw(t, "tiers"),
		From:     drawFrom(t),
		When:     drawWhen(t),
	}
}

// everywhere calls f for every question that can be asked in the world.
func everywhere(f func(identity, database, asked string, from netip.Addr)) {
	for _, identity := range worldIdentities {
		for _, database := range worldDatabases {
			for _, asked := range append([]string{""}, config.Tiers()...) {
				for _, from := range worldFrom {
					f(identity, database, asked, from)
				}
			}
		}
	}
}

// wider says whether x lasts at least as long and allows at least as much as y. Zero is without end.
func wider[T int | time.Duration](x, y T) bool { return x == 0 || y != 0 && x >= y }

// narrowerThan says whether a gives less than b in anything.
func narrowerThan(a, b *Decision) bool {
	lasting := a.Expires.IsZero() || !b.Expires.IsZero() && !a.Expires.Before(b.Expires)
	return !lasting || !wider(a.Limits.Connections, b.Limits.Connections) || !wider(a.Timeouts.Query, b.Timeouts.Query)
}

func TestAddingADenyNeverWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		before := NewPolicy(cfg)
		with := *cfg
		with.Denies = append(slices.Clone(cfg.Denies), drawDeny(t))
		after := NewPolicy(&with)
		everywhere(func(identity, database, asked string, from netip.Addr) {
			was, wasErr := before.Resolve(identity, database, asked, from, today)
			is, err := after.Resolve(identity, database, asked, from, today)
			switch {
			case err != nil:
			case wasErr != nil:
				t.Fatalf("%s~%s on %s from %v: refused before, now %s", identity, asked, database, from, is.Tier)
			case was.Tier != is.Tier || !was.Expires.Equal(is.Expires) || was.Limits != is.Limits || was.Timeouts != is.Timeouts:
				t.Fatalf("%s~%s on %s from %v: a deny changed %s to %s", identity, asked, database, from, was.Tier, is.Tier)
			}
		})
	})
}

// For who asks: somebody who does not may have to, once there is more to choose from.
func TestAddingAGrantNeverNarrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		before := NewPolicy(cfg)
		with := *cfg
		with.Grants = append(slices.Clone(cfg.Grants), drawGrant(t))
		number(&with)
		after := NewPolicy(&with)
		everywhere(func(identity, database, asked string, from netip.Addr) {
			was, wasErr := before.Resolve(identity, database, asked, from, today)
			if wasErr != nil || asked == "" {
				return
			}
			is, err := after.Resolve(identity, database, asked, from, today)
			if err != nil || is.Tier != was.Tier || narrowerThan(is, was) {
				t.Fatalf("%s~%s on %s from %v: was %+v, is %+v, %v", identity, asked, database, from, was, is, err)
			}
		})
	})
}

func TestAskingIsNeverAnsweredWithAnotherTier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		p := NewPolicy(cfg)
		everywhere(func(identity, database, asked string, from netip.Addr) {
			d, err := p.Resolve(identity, database, asked, from, today)
			switch {
			case err != nil && (d != nil || err.Severity != "FATAL"):
				t.Fatalf("decision %v beside error %v", d, err)
			case err == nil && asked != "" && d.Tier.Name != asked:
				t.Fatalf("asked for %s, got %s", asked, d.Tier)
			case err == nil && (d.Tier.Database.Name != database || d.Identity != identity):
				t.Fatalf("%s on %s got %s of %s", identity, database, d.Tier, d.Identity)
			case err == nil && !slices.Contains(d.Grant.Tiers, d.Tier.Name):
				t.Fatalf("the deciding grant does not give %s", d.Tier)
			}
		})
	})
}

// The order of the rules in the file decides nothing.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		before := NewPolicy(cfg)
		other := *cfg
		other.Grants, other.Denies = nil, nil
		for _, g := range cfg.Grants {
			c := *g
			other.Grants = append([]*config.Grant{&c}, other.Grants...)
		}
		for _, d := range cfg.Denies {
			c := *d
			other.Denies = append([]*config.Deny{&c}, other.Denies...)
		}
		number(&other)
		after := NewPolicy(&other)
		everywhere(func(identity, database, asked string, from netip.Addr) {
			was, wasErr := before.Resolve(identity, database, asked, from, today)
			is, err := after.Resolve(identity, database, asked, from, today)
			if (wasErr == nil) != (err == nil) || err != nil && said(err) != said(wasErr) {
				t.Fatalf("%v became %v", wasErr, err)
			}
			if err == nil && (was.Tier != is.Tier || !was.Expires.Equal(is.Expires) || was.Limits != is.Limits || was.Timeouts != is.Timeouts) {
				t.Fatalf("%+v became %+v", was, is)
			}
		})
	})
}
