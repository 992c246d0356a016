package startup

import (
	"reflect"
	"testing"
)

func TestSplitOptions(t *testing.T) {
	for in, want := range map[string][]string{
		"":                     nil,
		"  \t\n\v\f\r ":        nil,
		"a":                    {"a"},
		" a  b\tc ":            {"a", "b", "c"},
		`a\ b`:                 {"a b"},
		`a\\b`:                 {`a\b`},
		`a\`:                   {"a"},
		`\`:                    {""},
		`\ `:                   {" "},
		`-c a='b c'`:           {"-c", "a='b", "c'"},
		`-c search_path=a,\ b`: {"-c", "search_path=a, b"},
		"a\u00a0b":             {"a\u00a0b"},
	} {
		if got := splitOptions(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	for in, want := range map[string][]Param{
		"":                                nil,
		"-c a=b":                          {{"a", "b"}},
		"-ca=b":                           {{"a", "b"}},
		"--a=b":                           {{"a", "b"}},
		"--statement-timeout=5min":        {{"statement_timeout", "5min"}},
		"-c statement-timeout=a-b":        {{"statement_timeout", "a-b"}},
		"-c a=":                           {{"a", ""}},
		"-c a=b=c":                        {{"a", "b=c"}},
		"-c a=1 -c a=2":                   {{"a", "1"}, {"a", "2"}},
		"-c --a=b":                        {{"__a", "b"}},
		`-c a=x\ y --b=\\`:                {{"a", "x y"}, {"b", `\`}},
		"-c geqo=off -c pgtier.tier=rw\n": {{"geqo", "off"}, {"pgtier.tier", "rw"}},
	} {
		if got, err := parseOptions(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"work_mem", "TimeZone", "myapp.user_id", "a.b.c", "_x", "a$1", "roles", "role_", "myrole", "x.role"} {
		if err := checkName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "a.", ".a", "1a", "a b", "a\n", "rôle", "\u212a", "a;b", `a"`, "$a", "role", "RoLe", "session-authorization",
		"replication", "pgtier.role", "PGTIER.x", "pgtier.", "Local_Preload_Libraries"} {
		if err := checkName(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}
