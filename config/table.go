package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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
			hint := ""
			if near := Closest(name, keys[k]); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			d.failf(t.keyAt(name), "unknown key %q %s%s", name, t.where(), hint)
		}
	}
	return t
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

// str is a string that is not empty, "" when the key is absent.
func (t *table) str(name string) string {
	v, ok := t.vals[name]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		t.failf(name, "%q must be a string in quotes", name)
		return ""
	}
	if bad := badText(s); bad != "" {
		t.failf(name, "%q must not %s", name, bad)
		return ""
	}
	return s
}

// badText says what no string of the file may do, "" when s is fine.
func badText(s string) string {
	switch {
	case s == "":
		return "be empty"
	case strings.ContainsRune(s, 0):
		return "contain a zero byte"
	}
	return ""
}

// strs is a string or a list of strings, nil when the key is absent. An empty list is refused: in one place it would mean
// nothing and in another everything.
func (t *table) strs(name string) []string {
	v, ok := t.vals[name]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		if _, ok = v.(string); !ok {
			t.failf(name, "%q must be a string or a list of strings", name)
			return nil
		}
		list = []any{v}
	}
	if len(list) == 0 {
		t.failf(name, "%q must not be an empty list; leave the key out instead", name)
	}
	return t.items(name, list)
}

func (t *table) items(name string, list []any) []string {
	out := make([]string, 0, len(list))
	for i, v := range list {
		s, ok := v.(string)
		switch bad := badText(s); {
		case !ok:
			t.d.failf(t.itemAt(name, i), "%q must contain strings in quotes only", name)
		case bad != "":
			t.d.failf(t.itemAt(name, i), "an item of %q must not %s", name, bad)
		case slices.Contains(out, s):
			t.d.failf(t.itemAt(name, i), "%q is twice in %q", s, name)
		}
		out = append(out, s) // bad ones too: the index of an item is the index of its position
	}
	return out
}

// word is one of words, or def when the key is absent.
func (t *table) word(name, def string, words ...string) string {
	s := t.str(name)
	if s == "" || missing(t.kind, name, s) != nil {
		return def
	}
	if !slices.Contains(words, s) {
		t.failf(name, "%q = %q is not known; write one of: %s%s", name, s, strings.Join(words, ", "), didYouMean(s, words))
		return def
	}
	return s
}

// didYouMean is "" or the end of a sentence.
func didYouMean(got string, words []string) string {
	if near := Closest(got, words); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func (t *table) boolean(name string, def bool) bool {
	v, ok := t.vals[name]
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		t.failf(name, "%q must be true or false, without quotes", name)
		return def
	}
	return b
}

// integer is a whole number from low to high.
func (t *table) integer(name string, def, low, high int) int {
	v, ok := t.vals[name]
	if !ok {
		return def
	}
	i, ok := v.(int64)
	if !ok {
		t.failf(name, "%q must be a whole number, without quotes", name)
		return def
	}
	if i < int64(low) || i > int64(high) {
		t.failf(name, "%q must be from %d to %d, not %d", name, low, high, i)
		return def
	}
	return int(i)
}

// The longest duration keeps sums with a monotonic clock far from overflow; the shortest is below what any timer here does.
const (
	shortestDuration = time.Millisecond
	longestDuration  = 10 * 365 * 24 * time.Hour
)

// duration is a string with units, "0" for off. A bare number is refused: 5 of what?
func (t *table) duration(name string, def time.Duration) time.Duration {
	v, ok := t.vals[name]
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		t.failf(name, `%q must be a duration in quotes with a unit, such as "30s" or "1h30m"; "0" is off`, name)
		return def
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		t.failf(name, `%q = %q is not a duration; write a number with a unit (ms, s, m, h), such as "30s" or "1h30m"`, name, s)
	case d != 0 && (d < shortestDuration || d > longestDuration):
		t.failf(name, `%q = %q is out of range; write "0" for off, or something from 1ms to 10 years`, name, s)
	default:
		return d
	}
	return def
}

// instant is a TOML date and time with an offset.
func (t *table) instant(name string) time.Time {
	v, ok := t.vals[name]
	if !ok {
		return time.Time{}
	}
	at, ok := v.(time.Time)
	// The library marks times without an offset by locations of its own, which have these names.
	if !ok || slices.Contains([]string{"datetime-local", "date-local", "time-local"}, at.Location().String()) {
		t.failf(name, "%q must be a date and time with an offset, without quotes: 2027-12-31T23:59:59Z", name)
		return time.Time{}
	}
	return at.UTC()
}

// file is a path; a relative one is relative to the configuration file, so that it means the same wherever pgtier is started.
func (t *table) file(name string) string {
	s := t.str(name)
	if s == "" {
		return ""
	}
	return t.d.path(s)
}

func (d *decoder) path(s string) string {
	if filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(d.dir, s)
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

// join is the path of a key of this table, quoted as TOML wants it.
func (t *table) join(name string) string {
	if !bareKey.MatchString(name) {
		name = strconv.Quote(name)
	}
	if t.path == "" {
		return name
	}
	return t.path + "." + name
}

// lists is a table of names to a string or a list of strings.
func (t *table) lists(name string) map[string][]string {
	s := t.sub(name, kindNames)
	if s == nil {
		return nil
	}
	if len(s.vals) == 0 {
		t.failf(name, "%q must not be empty; leave the key out instead", name)
	}
	out := make(map[string][]string, len(s.vals))
	for _, key := range s.names() {
		out[key] = s.strs(key)
	}
	return out
}
