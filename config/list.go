package config

import (
	"maps"
	"slices"
)

// Item is one value of a configuration that is in force, whether the file has it or it is a default. It never contains a
// secret.
type Item struct {
	Key    string // as a path: databases.EPMT.tiers.ro.pool.size
	Value  string // as it stands in the file; "" = none; "(hidden)" in place of a secret
	Effect Effect // when a change is felt
}

// hidden stands for a secret.
const hidden = "(hidden)"

// List returns every value in the order of the documentation; of named things, by name.
func List(c *Config) []Item {
	l := &lister{}
	l.add(listenLeaves(&c.Listen), "listen")
	everyNamed(c.Servers, func(name string, s *Server) { l.add(serverLeaves(s), "servers", name) })
	everyNamed(c.Databases, func(name string, db *Database) {
		l.add(databaseLeaves(db), "databases", name)
		l.values(texts(db.Vars), Live, "databases", name, "vars")
		everyNamed(db.Tiers, func(tier string, t *Tier) { l.tier(t, []string{"databases", name, "tiers", tier}) })
	})
	everyNamed(c.Identities, func(name string, i *Identity) {
		l.add(identityLeaves(i), "identities", name)
		l.values(textOf(i.Attributes), Live, "identities", name, "attributes")
	})
	everyNamed(c.Groups, func(name string, g *Group) { l.add([]leaf{{"", set(g.Members), Live, false}}, "groups", name) })
	for _, g := range c.Grants {
		l.add([]leaf{{"", g.rule(), Live, false}}, "grants")
	}
	for _, r := range c.Denies {
		l.add([]leaf{{"", r.rule(), Live, false}}, "denies")
	}
	l.add(timeoutLeaves(c.Timeouts, "0"), "timeouts")
	l.add(limitLeaves(&c.Limits), "limits")
	l.add(relayLeaves(&c.Relay), "relay")
	l.add(logLeaves(&c.Log), "log")
	l.add(consoleLeaves(c.Console), "console")
	return l.items
}

type lister struct{ items []Item }

func (l *lister) tier(t *Tier, path []string) {
	l.add(tierLeaves(t), path...)
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) { // those of extensions may be secrets
		l.add([]leaf{{name, "set", Live, true}}, deeper(path, "settings")...)
	}
	l.add(poolLeaves(&t.Pool), deeper(path, "pool")...)
	l.add(timeoutLeaves(t.own, ""), deeper(path, "timeouts")...)
	l.add(sessionLimitLeaves(t.Limits), deeper(path, "limits")...)
}

// add lists the leaves of one table.
func (l *lister) add(leaves []leaf, path ...string) {
	for _, leaf := range leaves {
		if leaf.secret && leaf.value != "" {
			leaf.value = hidden
		}
		l.items = append(l.items, Item{keyOf(deeper(path, leaf.key)), leaf.value, leaf.effect})
	}
}

// values lists a table whose keys are names.
func (l *lister) values(all map[string]string, effect Effect, path ...string) {
	everyNamed(all, func(name, value string) { l.add([]leaf{{name, value, effect, false}}, path...) })
}

// everyNamed calls fn for every entry, by name.
func everyNamed[V any](all map[string]V, fn func(name string, v V)) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fn(name, all[name])
	}
}
