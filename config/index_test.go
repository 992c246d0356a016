package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestIndex(t *testing.T) {
	const src = "# comment\n" +
		"a = 1\r\n" +
		"[t.\"q.\\u0065\"]\n" +
		"  b.c = { d = [1, 'x', \"\"\"\n\"]\"\"\"], e = 2 } # }\n" +
		"[[l]]\n" +
		"k = 1979-05-27 07:32:00Z\n" +
		"[[l]]\n" +
		"k = '''\n[x]\n'''\n" +
		"[l.sub]\n" +
		"z = true\n"
	root := index("f", src)
	for _, c := range []struct {
		path string
		want string // start, key, value
	}{
		{"a", "2:1 2:1 2:5"},
		{"t", "3:1 3:2 3:2"},
		{"t|q.e", "3:1 3:4 3:4"},
		{"t|q.e|b", "4:3 4:3 4:3"},
		{"t|q.e|b|c", "4:5 4:5 4:9"},
		{"t|q.e|b|c|d", "4:11 4:11 4:15"},
		{"t|q.e|b|c|d|#1", "4:19 4:19 4:19"},
		{"t|q.e|b|c|d|#2", "4:24 4:24 4:24"},
		{"t|q.e|b|c|e", "5:9 5:9 5:13"},
		{"l|#0", "6:1 6:3 6:3"},
		{"l|#0|k", "7:1 7:1 7:5"},
		{"l|#1|k", "9:1 9:1 9:5"},
		{"l|#1|sub", "12:1 12:4 12:4"},
		{"l|#1|sub|z", "13:1 13:1 13:5"},
	} {
		n := root
		for _, step := range strings.Split(c.path, "|") {
			var i int
			if _, err := fmt.Sscanf(step, "#%d", &i); err == nil {
				n = n.item(i)
			} else {
				n = n.child(step)
			}
		}
		if n == nil {
			t.Errorf("%s is not in the index", c.path)
			continue
		}
		got := fmt.Sprintf("%d:%d %d:%d %d:%d", n.start.Line, n.start.Col, n.key.Line, n.key.Col, n.val.Line, n.val.Col)
		if got != c.want {
			t.Errorf("%s at %s, want %s", c.path, got, c.want)
		}
	}
}

// FuzzIndex: for every text that the library accepts, the index has exactly the library's keys.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{
		epmt,
		"a.b.c = 1\na.d = 2\n[x.y]\n'q' = \"\\\"\"\n",
		"a = [1, [2, {b = 3}], # ]\n 4]\nc = {d.e = 1, f = {}}\n",
		"[[a]]\n[[a.b]]\n[a.b.c]\nx = 1\n[[a]]\n",
		"s = '''a\n''b'''\nt = \"\"\"\\\"\"\"\\\n \"\"\"\"\"\nu = ''\n",
		"\"\\x61\\U00000062\" = 1979-05-27 07:32:00 # c\r\nx = +1.5e3",
		"a = {\n b = 1, # c\n d = 2,\n}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		src = strings.TrimPrefix(src, "\ufeff")
		root := index("f", src) // must end and not panic, whatever the text
		var vals map[string]any
		if strings.HasPrefix(src, "\xfe\xff") || strings.HasPrefix(src, "\xff\xfe") {
			return // the library strips other byte order marks
		}
		if _, err := toml.Decode(src, &vals); err != nil {
			return
		}
		same(t, "", vals, root)
	})
}

func same(t *testing.T, path string, v any, n *node) {
	if n == nil || n.val.Line == 0 || n.val.Col == 0 {
		t.Fatalf("%q is not in the index", path)
	}
	var list []any
	switch v := v.(type) {
	case map[string]any:
		if len(v) != len(n.table) || len(v) != len(n.names) {
			t.Fatalf("%q has %d keys, %d in the index: %q", path, len(v), len(n.table), n.names)
		}
		for key, value := range v {
			same(t, path+"|"+key, value, n.child(key))
		}
		return
	case []map[string]any:
		for _, e := range v {
			list = append(list, e)
		}
	case []any:
		list = v
	}
	if len(list) != len(n.items) {
		t.Fatalf("%q has %d items, %d in the index", path, len(list), len(n.items))
	}
	for i, e := range list {
		same(t, fmt.Sprintf("%s|#%d", path, i), e, n.item(i))
	}
}

// sound is a small configuration that needs no files, with roles of every sort.
const sound = `config_version = 1
inline_secrets = true
listen.address = "127.0.0.1:1"
servers.s.host = "h"
identities.a.password = "p"
[databases.d]
server = "s"
vars = { v = "x" }
tiers.ro = { login = "l", password = "p", role = "{database}_{v}" }
tiers.rw = { login = "m", password = "p", role = "{identity}{role}", session_state = "reject", settings = { a = 1 } }
[[grants]]
to = "a"
database = "d"
tiers = ["ro", "rw"]
role = "r"
`

// FuzzLoad: no text makes Load panic, and there is a configuration exactly when nothing was found.
func FuzzLoad(f *testing.F) {
	f.Add(epmt)
	f.Add("config_version = 1\n[listen]\naddress = '127.0.0.1:1'\n[[grants]]\nto = 5\n")
	f.Add("grants = [{}, 1]\ndenies = []\nidentities = 1\ngroups = {a = 1}\nservers = {a = {}}\n[databases.a.tiers]\nro = 1\n")
	f.Add(sound)
	f.Fuzz(func(t *testing.T, src string) {
		if strings.Contains(src, "command") {
			return // no fuzzer runs programs
		}
		cfg, findings := LoadBytes("/nonexistent/f", []byte(src), func(string) (string, bool) { return "", false })
		if (cfg == nil) != (len(findings) > 0) {
			t.Errorf("configuration %v, findings %v", cfg != nil, findings)
		}
		if !slices.IsSortedFunc(findings, func(a, b Finding) int { return a.Pos.Line - b.Pos.Line }) {
			t.Error("findings are not in the order of the file")
		}
		if cfg != nil && len(Diff(cfg, cfg)) > 0 {
			t.Errorf("different from itself: %v", Diff(cfg, cfg))
		}
	})
}
