package config

import (
	"fmt"
	"maps"
	"slices"
)

// Effect says when a change is felt after a reload.
type Effect string

const (
	// Live changes are felt by what runs: sessions that lose access end, server connections are replaced when they are free.
	Live Effect = "live"
	// NewSessions feel the change; sessions that run go on as they were.
	NewSessions Effect = "new sessions"
	// Restart is what the change waits for.
	Restart Effect = "needs a restart"
)

// Change is one difference between two configurations. It never contains a secret.
type Change struct {
	Pos    Pos    // in the new file; of what is gone, the table that it was in
	Key    string // as a path: databases.EPMT.tiers.ro.pool.size
	What   string // "20 is now 30", "added", "removed from line 33", "changed; not shown"
	Effect Effect
}

// String is one line for a person: "file:line:col: key: what (effect)".
func (c Change) String() string {
	return fmt.Sprintf("%s: %s: %s (%s)", c.Pos, c.Key, c.What, c.Effect)
}

// Diff lists what is different in new, in the order of the documentation; of named things, by name. Both are of Load. What is
// only written differently is no difference; a secret that was fetched anew and has changed is one.
func Diff(old, new *Config) []Change {
	d := &differ{old: old, new: new}
	d.compare(listenLeaves(&old.Listen), listenLeaves(&new.Listen), "listen")
	named(d, []string{"servers"}, old.Servers, new.Servers, NewSessions, func(path []string, was, is *Server) {
		d.compare(serverLeaves(was), serverLeaves(is), path...)
	})
	named(d, []string{"databases"}, old.Databases, new.Databases, NewSessions, d.database)
	named(d, []string{"identities"}, old.Identities, new.Identities, NewSessions, func(path []string, was, is *Identity) {
		d.compare(identityLeaves(was), identityLeaves(is), path...)
		d.entries(textOf(was.Attributes), textOf(is.Attributes), Live, false, deeper(path, "attributes"))
	})
	named(d, []string{"groups"}, old.Groups, new.Groups, Live, func(path []string, was, is *Group) {
		d.compare([]leaf{{"", set(was.Members), Live, false}}, []leaf{{"", set(is.Members), Live, false}}, path...)
	})
	rules(d, "grants", old.Grants, new.Grants, func(g *Grant) (string, Pos) { return g.rule(), g.Pos })
	rules(d, "denies", old.Denies, new.Denies, func(r *Deny) (string, Pos) { return r.rule(), r.Pos })
	d.compare(timeoutLeaves(old.Timeouts, "0"), timeoutLeaves(new.Timeouts, "0"), "timeouts")
	d.compare(limitLeaves(&old.Limits), limitLeaves(&new.Limits), "limits")
	d.compare(relayLeaves(&old.Relay), relayLeaves(&new.Relay), "relay")
	d.compare(logLeaves(&old.Log), logLeaves(&new.Log), "log")
	d.compare(consoleLeaves(old.Console), consoleLeaves(new.Console), "console")
	return d.changes
}

// differ gathers the changes from old to new.
type differ struct {
	old, new *Config
	changes  []Change
}

func (d *differ) database(path []string, was, is *Database) {
	d.compare(databaseLeaves(was), databaseLeaves(is), path...)
	d.entries(texts(was.Vars), texts(is.Vars), Live, false, deeper(path, "vars"))
	named(d, deeper(path, "tiers"), was.Tiers, is.Tiers, NewSessions, d.tier)
}

func (d *differ) tier(path []string, was, is *Tier) {
	d.compare(tierLeaves(was), tierLeaves(is), path...)
	// Settings of extensions may be secrets.
	d.entries(was.Settings, is.Settings, Live, true, deeper(path, "settings"))
	d.compare(poolLeaves(&was.Pool), poolLeaves(&is.Pool), deeper(path, "pool")...)
	d.compare(timeoutLeaves(was.own, ""), timeoutLeaves(is.own, ""), deeper(path, "timeouts")...)
	d.compare(sessionLimitLeaves(was.Limits), sessionLimitLeaves(is.Limits), deeper(path, "limits")...)
}

// compare reports the leaves of a table that differ. Both lists come from the same function, so they have the same keys.
func (d *differ) compare(was, is []leaf, path ...string) {
	for i, l := range is {
		switch {
		case l.value == was[i].value:
		case l.secret:
			d.report(deeper(path, l.key), "changed; not shown", l.effect)
		default:
			d.report(deeper(path, l.key), shown(was[i].value)+" is now "+shown(l.value), l.effect)
		}
	}
}

// entries reports what differs in a table whose keys are names.
func (d *differ) entries(was, is map[string]string, effect Effect, secret bool, path []string) {
	for _, name := range names(was, is) {
		before, had := was[name]
		after, has := is[name]
		switch {
		case had == has && before == after:
		case !has:
			d.report(deeper(path, name), removed(d.old.at(deeper(path, name))), effect)
		case !had && secret:
			d.report(deeper(path, name), "added; not shown", effect)
		case !had:
			d.report(deeper(path, name), "added: "+shown(after), effect)
		case secret:
			d.report(deeper(path, name), "changed; not shown", effect)
		default:
			d.report(deeper(path, name), shown(before)+" is now "+shown(after), effect)
		}
	}
}

// named compares things that have names. Whole things appear with the effect added and disappear at once.
func named[V any](d *differ, path []string, was, is map[string]*V, added Effect, both func(path []string, was, is *V)) {
	for _, name := range names(was, is) {
		path := deeper(path, name)
		switch {
		case was[name] == nil:
			d.report(path, "added", added)
		case is[name] == nil:
			d.report(path, removed(d.old.at(path)), Live)
		default:
			both(path, was[name], is[name])
		}
	}
}

// rules compares grants or denies, which have neither names nor an order: a rule that says something else is another rule.
func rules[R any](d *differ, key string, was, is []*R, text func(*R) (string, Pos)) {
	left := map[string]int{}
	for _, r := range was {
		rule, _ := text(r)
		left[rule]++
	}
	for _, r := range is {
		rule, pos := text(r)
		if left[rule]--; left[rule] < 0 {
			d.changes = append(d.changes, Change{pos, key, "added: " + rule, Live})
		}
	}
	for _, r := range was {
		rule, pos := text(r)
		if left[rule]--; left[rule] >= 0 {
			d.changes = append(d.changes, Change{Pos{File: d.new.File}, key, removed(pos) + ": " + rule, Live})
		}
	}
}

func (d *differ) report(path []string, what string, effect Effect) {
	d.changes = append(d.changes, Change{d.new.at(path), keyOf(path), what, effect})
}

// keyOf writes a path as one key. Empty steps are left out.
func keyOf(path []string) (key string) {
	for _, name := range path {
		if name != "" {
			key = join(key, name)
		}
	}
	return key
}

func removed(from Pos) string {
	if from.Line == 0 {
		return "removed"
	}
	return fmt.Sprintf("removed from line %d", from.Line)
}

// at is where a key stands, or the nearest table around it; the file when there is none.
func (c *Config) at(path []string) Pos {
	pos := Pos{File: c.File}
	n := c.keys
	for _, name := range path {
		if n = n.child(name); n == nil {
			break
		}
		pos = n.key
	}
	return pos
}

// deeper is path with one more step. It never shares memory with path.
func deeper(path []string, name string) []string { return append(slices.Clone(path), name) }

// names are the keys of both maps, sorted, each once.
func names[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
