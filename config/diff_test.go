package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// testdata/diff.txt has, for each case, edits of the configuration of load_test.go and what Diff says about them.
func TestDiff(t *testing.T) {
	const path = "testdata/diff.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	preamble, cases := parseFindings(string(data))
	out := preamble
	var changed []string
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, env := world(t)
			write(t, filepath.Join(dir, "other"), "canary\n", 0o600)
			writePair(t, dir)
			lift(t, "isolation", "guard")
			file := filepath.Join(dir, "pgtier.toml")
			old, findings := LoadBytes(file, []byte(epmt), env)
			if err := findings.Err(); err != nil {
				t.Fatal(err)
			}
			is, findings := LoadBytes(file, []byte(c.edit(t, epmt)), c.environment(env))
			if err := findings.Err(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, change := range Diff(old, is) {
				changed = append(changed, change.Key)
				got = append(got, strings.ReplaceAll(change.String(), dir+"/", ""))
			}
			if out += c.render(got); !*update && !slices.Equal(got, c.want) {
				t.Errorf("changes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if strings.Contains(strings.Join(got, "\n"), "canary") {
				t.Error("a secret is shown")
			}
			if back := Diff(is, old); len(back) != len(got) {
				t.Errorf("%d changes there, %d back: %v", len(got), len(back), back)
			}
			if same := Diff(is, is); len(same) > 0 {
				t.Errorf("different from itself: %v", same)
			}
		})
	}
	if *update {
		write(t, path, strings.TrimRight(out, "\n")+"\n", 0o644)
	}
	everyKeyChanges(t, changed)
}

// everyKeyChanges demands that each key of the file was seen to make a difference.
func everyKeyChanges(t *testing.T, changed []string) {
	seen := map[string]bool{}
	for _, key := range changed {
		steps := strings.Split(key, ".")
		for i := range steps {
			if i == 1 && slices.Contains([]string{"servers", "databases", "identities"}, steps[0]) || i == 3 && steps[2] == "tiers" {
				steps[i] = "*"
			}
			seen[strings.Join(steps[:i+1], ".")] = true
		}
	}
	for k, names := range keys {
		if k == kindSecret || k == kindTierTimeouts || strings.HasPrefix(string(k), "grants") || k == kindDeny {
			continue // of a tier's timeouts the list is the one of [timeouts]; of rules, TestRulesSayAll looks at each field
		}
		for _, name := range names {
			if key := strings.TrimPrefix(string(k)+"."+name, "."); !seen[key] && key != "config_version" && key != "inline_secrets" {
				t.Errorf("no case changes %s", key)
			}
		}
	}
}

// Whatever one field of a rule is changed to, it is another rule.
func TestRulesSayAll(t *testing.T) {
	g, r := Grant{To: "a", Database: "b"}, Deny{To: "a", Database: "b"}
	each(t, reflect.ValueOf(&g).Elem(), "grant", func() string { return g.rule() })
	each(t, reflect.ValueOf(&r).Elem(), "deny", func() string { return r.rule() })
	a := Grant{To: `x on "y"`, Database: "z"}
	b := Grant{To: "x", Database: `y" on "z`}
	if a.rule() == b.rule() {
		t.Error("two grants look the same")
	}
}

// each sets every field of v in turn and compares text with what it was.
func each(t *testing.T, v reflect.Value, what string, text func() string) {
	samples := map[reflect.Type]any{
		reflect.TypeFor[string]():              "other",
		reflect.TypeFor[[]string]():            []string{"rw"},
		reflect.TypeFor[int]():                 7,
		reflect.TypeFor[time.Duration]():       7 * time.Second,
		reflect.TypeFor[time.Time]():           time.Unix(7, 7),
		reflect.TypeFor[[]netip.Prefix]():      []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		reflect.TypeFor[map[string][]string](): map[string][]string{"k": {"v"}},
	}
	for i := range v.NumField() {
		name, f := what+"."+v.Type().Field(i).Name, v.Field(i)
		if f.Type() == reflect.TypeFor[Pos]() {
			continue // where a rule stands is not what it says
		}
		if f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]() {
			each(t, f, name, text)
			continue
		}
		sample, ok := samples[f.Type()]
		if !ok {
			t.Fatalf("no sample for %s", name)
		}
		before, was := text(), reflect.ValueOf(f.Interface())
		f.Set(reflect.ValueOf(sample))
		if text() == before {
			t.Errorf("%s makes no difference: %s", name, before)
		}
		f.Set(was)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Second: "1s", 2 * time.Minute: "2m", 90 * time.Second: "1m30s", time.Hour: "1h", 100 * time.Millisecond: "100ms",
		time.Hour + time.Second: "1h0m1s", 10 * time.Second: "10s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		got := FormatDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("FormatDuration(%d) = %s, want %s", d, got, want)
		}
	}
}

// A configuration that was not read from a text has no positions; Diff says the file instead.
func TestDiffWithoutPositions(t *testing.T) {
	old := &Config{File: "f", Identities: map[string]*Identity{"a": {Passwords: []string{"canary"}}}}
	is := &Config{File: "f", Identities: map[string]*Identity{"a": {Passwords: []string{"canary2"}}}, Relay: Relay{Loops: 2}}
	want := []Change{
		{Pos{File: "f"}, "identities.a.password", "changed; not shown", NewSessions},
		{Pos{File: "f"}, "relay.loops", `"auto" is now 2`, Restart},
	}
	if got := Diff(old, is); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// writePair writes a certificate and its key to tls.crt and tls.key in dir.
func writePair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	write(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600)
}
