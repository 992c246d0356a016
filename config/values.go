package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

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
