package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// table is one table of the file while it is being read: its values, where they stand, and which keys it may have. Its
// methods report what is wrong and return the zero value, so that reading always goes on to the end of the file.
type table struct {
	d    *decoder
	kind kind
	path string // as in a header: databases.EPMT.tiers.ro; "" at the top
	list bool   // an element of an array of tables
	vals map[string]any
	n    *node
}

// newTable checks the keys against those that kind allows.
func newTable(d *decoder, k kind, path string, vals map[string]any, n *node) *table {
	if n == nil { // only if the index failed: then there is no better place than the file
		n = &node{start: Pos{File: d.file}}
	}
	t := &table{d: d, kind: k, path: path, vals: vals, n: n}
	t.list = k == kindGrant || k == kindDeny
	if k == kindNames {
		return t
	}
	for _, name := range t.names() {
		switch row := missing(k, name, vals[name]); {
		case row != nil:
			t.refuse(name, row)
		case !slices.Contains(keys[k], name):
			d.failf(t.keyAt(name), "unknown key %q %s%s", name, t.where(), elsewhere(k, name))
		}
	}
	return t
}

// elsewhere ends a sentence about an unknown key with what may have been meant.
func elsewhere(k kind, name string) string {
	if (k == kindTierTimeouts || k == kindGrantTimeouts) && slices.Contains(keys[kindTimeouts], name) {
		return "; it can only be set in [timeouts]"
	}
	return didYouMean(name, keys[k])
}

// refuse reports a key, or one value of it, that this version does not have yet.
func (t *table) refuse(name string, row *later) {
	_, isTable := t.vals[name].(map[string]any)
	switch {
	case row.value != nil:
		t.d.failf(t.keyAt(name), "%q = %s is not supported yet", name, quoted(row.value))
	case t.kind == kindTop && isTable:
		t.d.failf(t.n.child(name).start, "[%s] is not supported yet", name)
	default:
		t.d.failf(t.keyAt(name), "%q %s is not supported yet", name, t.where())
	}
}

func quoted(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

// where says which table this is, in a sentence: "in [listen]".
func (t *table) where() string {
	switch {
	case t.path == "":
		return "at the top of the file"
	case t.list:
		return "in [[" + t.path + "]]"
	}
	return "in [" + t.path + "]"
}

// names are the table's keys in the order of the file.
func (t *table) names() []string {
	names := make([]string, 0, len(t.vals))
	for _, name := range t.n.names {
		if _, ok := t.vals[name]; ok {
			names = append(names, name)
		}
	}
	// The index has every key (a fuzz test says so), but no key may ever go unread because of a mistake there.
	if len(names) < len(t.vals) {
		names = slices.Sorted(maps.Keys(t.vals))
	}
	return names
}

func (t *table) has(name string) bool { _, ok := t.vals[name]; return ok }

// at is where the value of a key stands; the table itself when it has no such key.
func (t *table) at(name string) Pos {
	if c := t.n.child(name); c != nil {
		return c.val
	}
	return t.n.start
}

// keyAt is where the key stands; the table itself when it has no such key.
func (t *table) keyAt(name string) Pos {
	if c := t.n.child(name); c != nil {
		return c.key
	}
	return t.n.start
}

// itemAt is where the i-th item of a list stands, or the value when it is not a list.
func (t *table) itemAt(name string, i int) Pos {
	if c := t.n.child(name).item(i); c != nil {
		return c.val
	}
	return t.at(name)
}

func (t *table) failf(name, format string, args ...any) {
	t.d.failf(t.at(name), format, args...)
}

// sub is a table inside this one, nil when the key is absent.
func (t *table) sub(name string, k kind) *table {
	v, ok := t.vals[name]
	if !ok {
		return nil
	}
	vals, ok := v.(map[string]any)
	if !ok {
		t.failf(name, "%q must be a table", name)
		return nil
	}
	return newTable(t.d, k, t.join(name), vals, t.n.child(name))
}

// list are the elements of an array of tables.
func (t *table) tables(name string, k kind) []*table {
	v, ok := t.vals[name]
	if !ok {
		return nil
	}
	var elements []map[string]any
	switch v := v.(type) {
	case []map[string]any:
		elements = v
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				elements = append(elements, m)
			}
		}
		if len(elements) != len(v) {
			elements = nil
		}
	}
	if elements == nil {
		t.failf(name, "write each of %q as [[%s]]", name, name)
		return nil
	}
	out := make([]*table, len(elements))
	for i, vals := range elements {
		out[i] = newTable(t.d, k, t.join(name), vals, t.n.child(name).item(i))
	}
	return out
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join is the path of a key of this table.
func (t *table) join(name string) string { return join(t.path, name) }

// join is path with one more step, quoted as TOML wants it.
func join(path, name string) string {
	if !bareKey.MatchString(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
