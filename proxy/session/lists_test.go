package session

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitList(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string // nil: refused
	}{
		{"", []string{""}},
		{" ", []string{""}},
		{`""`, []string{""}},
		{`"$user", public`, []string{"$user", "public"}},
		{`App,"App" , "a""b,c"`, []string{"app", "App", `a"b,c`}},
		{"\u00c4rger", []string{"\u00c4rger"}},
		{"A\xc4", []string{"a\xc4"}},
		{"a b", nil},
		{"a,", nil},
		{",a", nil},
		{`"a`, nil},
		{`"a"b`, nil},
	} {
		got, ok := splitList(c.value)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, %v, want %q", c.value, got, ok, c.want)
		}
	}
}

// TestChangeIsPlain: a session's settings travel without a function, which a hardened database does not let roles call.
func TestChangeIsPlain(t *testing.T) {
	to := fromMap(map[string]string{"search_path": `"$user", app`, "my.Secret": "it's", "work_mem": "4MB", "datestyle": "ISO, DMY"})
	from := fromMap(map[string]string{"my.other": "x", "jit": "off"})
	got := string(appendChange(nil, from, to)[5:])
	want := `SET datestyle TO 'ISO, DMY';SET "my"."Secret" TO 'it''s';SET "search_path" TO '$user','app';SET work_mem TO '4MB';RESET jit;RESET "my"."other";` + "\x00"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if bad := string(appendChange(nil, NoSettings, fromMap(map[string]string{"search_path": "a b"}))); !strings.Contains(bad, "set_config") {
		t.Errorf("got %s", bad)
	}
}

func FuzzSplitList(f *testing.F) {
	for _, seed := range []string{"", `"$user", public`, `a,"b""c"`, `"`, ",", "a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		names, ok := splitList(value)
		if !ok {
			return
		}
		var quoted []string
		for _, n := range names {
			quoted = append(quoted, `"`+strings.ReplaceAll(n, `"`, `""`)+`"`)
		}
		again, ok := splitList(strings.Join(quoted, ", "))
		if !ok || !slices.Equal(names, again) {
			t.Errorf("%q: %q, then %q", value, names, again)
		}
	})
}
