package config

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRole(t *testing.T) {
	for _, c := range []struct{ text, want string }{ // a part per word, placeholders in <>
		{"app", "app"},
		{"{identity}", "<identity>"},
		{"{database}_{role}", "<database> _ <role>"},
		{"tww_user_{suffix}", "tww_user_ <suffix>"},
		{"{a}{b}x", "<a> <b> x"},
		{"{ a }", "< a >"},
		{"", ""},
		{"{", `there is a "{" without a "}"`},
		{"a{b", `there is a "{" without a "}"`},
		{"{a{b}}", `there is a "{" without a "}"`},
		{"a}b", `there is a "}" without a "{"`},
		{"{a}}", `there is a "}" without a "{"`},
		{"}{", `there is a "}" without a "{"`},
		{"{}", "a placeholder has no name"},
		{"a{}b", "a placeholder has no name"},
	} {
		parts, err := parseRole(c.text)
		var words []string
		for _, p := range parts {
			if p.name != "" {
				p.text = "<" + p.name + ">"
			}
			words = append(words, p.text)
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("parseRole(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

// FuzzParseRole: the parts of a template that was taken put together again are the template, and none of them has a brace.
func FuzzParseRole(f *testing.F) {
	for _, seed := range []string{"app", "{identity}", "{database}_{role}", "{a{b}}", "}{", "{}", "a\x00{b\xff}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := parseRole(text)
		if err != nil {
			if strings.Count(text, "{") == 0 && strings.Count(text, "}") == 0 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		again := ""
		for _, p := range parts {
			if strings.ContainsAny(p.text+p.name, "{}") || (p.text == "") == (p.name == "") {
				t.Errorf("%q has the part %+v", text, p)
			}
			if again += p.text; p.name != "" {
				again += "{" + p.name + "}"
			}
		}
		if again != text {
			t.Errorf("%q became %q", text, again)
		}
	})
}

func TestFill(t *testing.T) {
	known := map[string]string{"database": "orders", "x": "{identity}", "": "never"}
	for _, c := range []struct{ text, identity, role, want string }{
		{"app", "", "", "app"},
		{"{identity}", "alice@example.com", "", "alice@example.com"},
		{"{identity}", "{role}", "r", "{role}"}, // what is filled in is no template
		{"{x}", "alice", "", "{identity}"},
		{"{database}_{role}", "alice", "Sales Person\"", "orders_Sales Person\""},
		{"a{identity}b{role}c{identity}", "1", "2", "a1b2c1"},
		{"{role}", "alice", "", "-"},
		{"{identity}", "", "r", "-"},
	} {
		parts, err := parseRole(c.text)
		if err != nil {
			t.Fatal(err)
		}
		template := &RoleTemplate{c.text, bind(parts, known)}
		got, ok := template.Fill(c.identity, c.role)
		if !ok {
			got += "-"
		}
		if got != c.want {
			t.Errorf("%q with %q and %q = %q, want %q", c.text, c.identity, c.role, got, c.want)
		}
		if template.PerSession() != (strings.Contains(c.text, "{identity}") || strings.Contains(c.text, "{role}")) {
			t.Errorf("%q: per session %v", c.text, template.PerSession())
		}
	}
	if (*RoleTemplate)(nil).PerSession() {
		t.Error("no template differs between sessions")
	}
}

func TestBadRole(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for _, name := range []string{"a", "None1", "publi", "pg", "p_g_", "PG", " none", "Ünïcode", "a\"b", "a{b}", long} {
		if bad := BadRole(name); bad != "" {
			t.Errorf("BadRole(%q) = %s", name, bad)
		}
	}
	for _, name := range []string{"", "none", "NONE", "nOne", "public", "Public", "pg_", "pg_x", "PG_monitor", "Pg_x", "a\x00", "a\xff", "\xc3", long + "x"} {
		if BadRole(name) == "" {
			t.Errorf("%q may be a role", name)
		}
	}
}

// The findings about isolation and guard, which are in the way of nobody before the features exist.
func TestIsolationAndGuard(t *testing.T) {
	lift(t, "isolation", "guard")
	for _, c := range []struct{ keys, want string }{
		{`isolation = "shared"` + "\n" + `role = "{identity}"`, ""},
		{`isolation = "shared"` + "\n" + `role = "{identity}"` + "\n" + `pool = { min = 3 }`, ""},
		{`isolation = "shared"`, `isolation = "shared" is for sessions whose roles differ`},
		{`isolation = "shared"` + "\n" + `role = "app"`, `isolation = "shared" is for sessions whose roles differ`},
		{`isolation = "none"`, `write one of: role, shared, login`},
		{`guard = true`, "nothing to guard"},
		{`guard = true` + "\n" + `role = "app"`, ""},
		{`guard = true` + "\n" + `isolation = "shared"` + "\n" + `role = "{identity}"`, ""},
		{`guard = true` + "\n" + `settings = { Default_Transaction_Read_Only = "on" }`, ""},
		{`guard = false`, ""},
	} {
		cfg, findings := load1(t, strings.Replace(epmt, "pool     = { size = 20 }", c.keys, 1))
		if got := findings.Error(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || len(findings) > 1 {
			t.Errorf("%s:\n%s\nwant %s", c.keys, got, c.want)
		}
		if cfg == nil {
			continue
		}
		tier := cfg.Databases["EPMT"].Tiers["ro"]
		if tier.Guard != strings.Contains(c.keys, "guard = true") || !strings.Contains(c.keys+`"role"`, `"`+tier.Isolation+`"`) {
			t.Errorf("%s: guard %v, isolation %q", c.keys, tier.Guard, tier.Isolation)
		}
	}
}

// lift takes keys out of notYet for one test.
func lift(t *testing.T, keys ...string) {
	was := notYet
	t.Cleanup(func() { notYet = was })
	notYet = slices.DeleteFunc(slices.Clone(was), func(l later) bool { return slices.Contains(keys, l.key) })
}

func TestRolesOfTiers(t *testing.T) {
	text := strings.Replace(epmt, `default_tier = "ro"`, `vars = { suffix = "lausanne" }`, 1)
	text = strings.Replace(text, "pool     = { size = 20 }", `role = "{tier}_{database}_{suffix}"`, 1)
	text = strings.Replace(text, "pool     = { size = 10 }", `role = "{identity}_{suffix}"`, 1)
	cfg, findings := load1(t, text)
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	tiers := cfg.Databases["EPMT"].Tiers
	if ro := tiers["ro"]; ro.Role != "ro_EPMT_lausanne" || ro.RoleTemplate.PerSession() || ro.RoleTemplate.String() != "{tier}_{database}_{suffix}" {
		t.Errorf("ro: %q from %v", ro.Role, ro.RoleTemplate)
	}
	if rw := tiers["rw"]; rw.Role != "" || !rw.RoleTemplate.NeedsIdentity() || rw.RoleTemplate.NeedsRole() {
		t.Errorf("rw: %q from %v", rw.Role, rw.RoleTemplate)
	}
	if admin := tiers["admin"]; admin.Role != "" || admin.RoleTemplate != nil {
		t.Errorf("admin: %q from %v", admin.Role, admin.RoleTemplate)
	}
	if ro := tiers["ro"]; ro.SessionState != "pin" || ro.MaxPrepared != 200 || ro.Isolation != "role" || ro.Guard {
		t.Errorf("defaults %q, %d, %q, %v", ro.SessionState, ro.MaxPrepared, ro.Isolation, ro.Guard)
	}
}

func TestSoundIsSound(t *testing.T) {
	if _, findings := load1(t, sound); len(findings) > 0 {
		t.Error(findings)
	}
}
