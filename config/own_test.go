package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ownTier is tier ro of the smallest file with isolation = "login" and further lines.
func ownTier(lines ...string) string {
	was := "login    = \"epmt-ro\"\npassword = { file = \"epmt-ro\" }\npool     = { size = 20 }\n"
	return strings.Replace(epmt, was, "isolation = \"login\"\n"+strings.Join(lines, "\n")+"\n", 1)
}

func TestOwnLogins(t *testing.T) {
	const role = `role = "{identity}"`
	for _, c := range []struct {
		lines []string
		want  string // part of the only finding; "" for none
	}{
		{[]string{role}, ""},
		{[]string{role, `sslcert = "people/{role}.crt"`, `sslkey = "people/{identity}-{database}.key"`}, ""},
		{[]string{role, `pool = { size = 5, per_identity = 5 }`}, ""},
		{[]string{role, `guard = true`}, ""},
		{nil, `isolation = "login" is for sessions whose roles differ`},
		{[]string{`role = "app"`}, `isolation = "login" is for sessions whose roles differ`},
		{[]string{role, `login = "epmt-ro"`}, `tier EPMT/ro has "login", but with isolation = "login"`},
		{[]string{role, `password = { file = "epmt-ro" }`}, `tier EPMT/ro has "password", but`},
		{[]string{role, `url = { file = "epmt-admin-url" }`}, `tier EPMT/ro has "url", but`},
		{[]string{role, `override_env = "EPMT_DB_URL"`}, `tier EPMT/ro has "override_env", but`},
		{[]string{role, `accept_superuser = true`}, `accept_superuser is for logins of tiers`},
		{[]string{role, `sslcert = "people/{role}.crt"`}, `"sslcert" without "sslkey"`},
		{[]string{role, `sslkey = "people/{role}.key"`}, `"sslkey" without "sslcert"`},
		{[]string{role, `sslcert = "{role}.crt"`, `sslkey = "{rol}.key"`}, `{rol} stands for nothing`},
		{[]string{role, `sslcert = "{role}.crt"`, `sslkey = "{role.key"`}, `there is a "{" without a "}"`},
		{[]string{role, `sslcert = "{role}.crt"`, `sslkey = "none.key"`}, `key file`},
		{[]string{role, `pool = { size = 5, per_identity = 6 }`}, `per_identity = 6 is more than its size = 5`},
		{[]string{role, `pool = { size = 5, per_identity = 0 }`}, `"per_identity" must be from 1 to 10000, not 0`},
		{[]string{role, `pool = { size = 5, reserve = 1 }`}, `nothing goes above it`},
		{[]string{role, `pool = { size = 5, min = 1 }`}, `no connection can be kept open`},
	} {
		_, findings := load1(t, ownTier(c.lines...))
		if got := findings.Error(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) || len(findings) > 1 {
			t.Errorf("%q:\n%s\nwant %s", c.lines, got, c.want)
		}
	}
	cfg, findings := load1(t, strings.Replace(epmt, "{ size = 20 }", "{ size = 20, per_identity = 1 }", 1))
	if len(findings) > 0 || cfg.Databases["EPMT"].Tiers["ro"].Pool.PerIdentity != 1 {
		t.Errorf("per_identity with isolation role: %v", findings)
	}
}

// The same people in two tiers of a database would have the same rights in both.
func TestOwnLoginsOfTwoTiers(t *testing.T) {
	two := func(rw string) string {
		was := "login    = \"epmt-rw\"\npassword = { file = \"epmt-rw\" }\npool     = { size = 10 }\n"
		return strings.Replace(ownTier(`role = "{identity}_{tier}"`), was, "isolation = \"login\"\nrole = \""+rw+"\"\n", 1)
	}
	if _, findings := load1(t, two("{identity}_{tier}")); len(findings) > 0 {
		t.Error(findings)
	}
	_, findings := load1(t, two("{identity}_ro"))
	if len(findings) != 1 || !strings.Contains(findings.Error(), `tiers ro and rw of "EPMT" let people log in as the same role`) {
		t.Error(findings)
	}
}

// What stands for a placeholder of the operator's own is held to the same rule as what an identity chooses.
func TestOwnFilesOfOddDatabases(t *testing.T) {
	text := strings.ReplaceAll(ownTier(`role = "{identity}"`, `sslcert = "{database}/{role}.crt"`, `sslkey = "{database}/{role}.key"`), "databases.EPMT", `databases."../x"`)
	text = strings.ReplaceAll(text, `database = "EPMT"`, `database = "*"`)
	_, findings := load1(t, text)
	if !strings.Contains(findings.Error(), `{database} is "../x": it must not contain a slash`) {
		t.Error(findings)
	}
}

func TestOwnDefaults(t *testing.T) {
	for _, c := range []struct {
		lines                  []string
		size, perIdentity, min int
		idle                   time.Duration
	}{
		{nil, 20, 2, 0, time.Minute},
		{[]string{`pool = { size = 1 }`}, 1, 1, 0, time.Minute},
		{[]string{`pool = { per_identity = 3 }`, `timeouts = { server_idle = "5m" }`}, 20, 3, 0, 5 * time.Minute},
	} {
		cfg, findings := load1(t, ownTier(append(c.lines, `role = "{identity}"`)...))
		if cfg == nil {
			t.Fatal(findings)
		}
		tier := cfg.Databases["EPMT"].Tiers["ro"]
		if p := tier.Pool; p.Size != c.size || p.PerIdentity != c.perIdentity || p.Min != c.min || tier.Timeouts.ServerIdle != c.idle {
			t.Errorf("%q: %+v, idle %v", c.lines, p, tier.Timeouts.ServerIdle)
		}
		if !tier.LogsInAsRole() || tier.Login != "" || len(tier.Passwords) > 0 || tier.DBName != "EPMT" || tier.SSLMode != "verify-full" {
			t.Errorf("%q: %s", c.lines, tier)
		}
		if cfg.Databases["EPMT"].Tiers["rw"].Pool.PerIdentity != 0 {
			t.Error("rw has a limit for each identity")
		}
	}
}

func TestPathTemplates(t *testing.T) {
	cfg, findings := load1(t, ownTier(`role = "{identity}"`, `sslcert = "people/{tier}.{identity}/{role}.crt"`, `sslkey = "/k/{identity}{role}"`))
	if cfg == nil {
		t.Fatal(findings)
	}
	tier := cfg.Databases["EPMT"].Tiers["ro"]
	cert, err := tier.CertTemplate.Fill("al ice", "..x")
	if want := filepath.Join(filepath.Dir(cfg.File), "people", "ro.al ice", "..x.crt"); cert != want || err != nil {
		t.Errorf("%s, %v; want %s", cert, err, want)
	}
	for _, bad := range []string{"", ".", "..", "/", "a/b", "../x", "/etc/shadow", "a\x00b"} {
		for _, who := range [][2]string{{bad, "alice"}, {"alice", bad}, {bad, bad}} {
			if path, err := tier.CertTemplate.Fill(who[0], who[1]); err == nil {
				t.Errorf("%q makes the path %q", who, path)
			}
			if path, err := tier.KeyTemplate.Fill(who[0], who[1]); err == nil {
				t.Errorf("%q makes the path %q", who, path)
			}
		}
	}
	if tier.CertTemplate.Fixed() {
		t.Error("the path is the same for everybody")
	}
}

// Whatever names are, a filled-in path has the template's directories.
func FuzzPathTemplate(f *testing.F) {
	for _, seed := range []string{"alice", "..", ".", "a/b", "\x00", "..\\x", "", "a.", ".b"} {
		f.Add(seed, seed)
	}
	template := &PathTemplate{text: "/p/.{identity}/x.{role}{identity}", parts: []rolePart{
		{text: "/p/."}, {name: placeIdentity}, {text: "/x."}, {name: placeRole}, {name: placeIdentity}}}
	f.Fuzz(func(t *testing.T, identity, role string) {
		path, err := template.Fill(identity, role)
		if err != nil {
			return
		}
		if filepath.Clean(path) != path || strings.Count(path, "/") != 3 || !strings.HasPrefix(path, "/p/.") {
			t.Errorf("%q", path)
		}
	})
}
