package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/config"
)

// identities makes a configuration of identities only.
func identities(list ...*config.Identity) *config.Config {
	cfg := &config.Config{Identities: make(map[string]*config.Identity)}
	for _, i := range list {
		cfg.Identities[i.Name] = i
	}
	return cfg
}

func credentials(t testing.TB, previous *Credentials, list ...*config.Identity) *Credentials {
	t.Helper()
	c, err := NewCredentials(identities(list...), previous)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login tries a password the way a client would, and returns the salt and iterations that it was told.
func login(t testing.TB, c *Credentials, name, password string) (ok bool, told string) {
	t.Helper()
	id, secret := c.Begin(name, Evidence{})
	if id != nil || secret == nil {
		t.Fatalf("%s got in without a password", name)
	}
	client, err := xdg.SHA256.NewClient(name, password, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.WithMinIterations(1).NewConversation()
	x, err := scram.NewExchange(secret, scram.SHA256, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := conversation.Step("")
	reply, err := x.Next([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	final, err := conversation.Step(string(reply))
	if err != nil {
		t.Fatal(err)
	}
	_, told, _ = strings.Cut(string(reply), ",")
	_, err = x.Next([]byte(final))
	return err == nil, told
}

func verifier(password, salt string, iterations int) string {
	return scram.Mint(password, []byte(salt), iterations).Encode()
}

func TestBeginWithPasswords(t *testing.T) {
	c := credentials(t, nil,
		&config.Identity{Name: "stored", Verifiers: []string{verifier("one", "salt of 16 bytes", 4096)}},
		&config.Identity{Name: "plain", Passwords: []string{"one", "two"}},
		&config.Identity{Name: "both", Verifiers: []string{verifier("one", "another salt 16b", 5000)}, Passwords: []string{"two", "three"}},
		&config.Identity{Name: "rotating", Verifiers: []string{verifier("one", "salt of 16 bytes", 4096), verifier("two", "salt of 16 bytes", 4096)}},
		&config.Identity{Name: "stray", Verifiers: []string{verifier("one", "salt of 16 bytes", 4096), verifier("two", "other of 16 byte", 4096)}},
		&config.Identity{Name: "disabled", Passwords: []string{"one"}, Disabled: true},
		&config.Identity{Name: "cert", Certs: []string{"CN=cert"}},
	)
	for _, test := range []struct {
		name, password string
		want           bool
	}{
		{"stored", "one", true}, {"stored", "two", false},
		{"plain", "one", true}, {"plain", "two", true}, {"plain", "three", false}, {"plain", "", false},
		{"both", "one", true}, {"both", "two", true}, {"both", "three", true}, {"both", "four", false},
		{"rotating", "one", true}, {"rotating", "two", true}, {"rotating", "three", false},
		{"stray", "one", true}, {"stray", "two", false},
		{"disabled", "one", false},
		{"cert", "", false},
		{"unknown", "one", false}, {"PLAIN", "one", false}, {"", "", false},
	} {
		if got, _ := login(t, c, test.name, test.password); got != test.want {
			t.Errorf("%s with %q: %v", test.name, test.password, got)
		}
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], `"stray"`) {
		t.Errorf("warnings: %q", w)
	}
}

func TestUnknownNamesLookReal(t *testing.T) {
	stored := &config.Identity{Name: "stored", Verifiers: []string{verifier("one", "a salt of twenty byt", 8000)}}
	plain := &config.Identity{Name: "plain", Passwords: []string{"one"}}
	shape := regexp.MustCompile(`^s=([A-Za-z0-9+/=]+),i=8000$`)
	before := credentials(t, nil, stored, plain)
	after := credentials(t, before, stored, plain, &config.Identity{Name: "soon", Passwords: []string{"p"}})
	for _, name := range []string{"stored", "plain", "soon", "unknown", ""} {
		_, told := login(t, before, name, "wrong")
		m := shape.FindStringSubmatch(told)
		if m == nil {
			t.Fatalf("%q is told %q", name, told)
		}
		if salt, _ := base64.StdEncoding.DecodeString(m[1]); len(salt) != 20 {
			t.Errorf("%q has a salt of %d bytes", name, len(salt))
		}
		if _, again := login(t, after, name, "wrong"); again != told {
			t.Errorf("%q is told something else after a reload", name)
		}
	}
	if _, other := login(t, credentials(t, nil, stored, plain), "unknown", "x"); other == "" {
		t.Error("no salt")
	}
}

func TestReloadDoesNotMintAgain(t *testing.T) {
	plain := &config.Identity{Name: "plain", Passwords: []string{"one", "two"}}
	before := credentials(t, nil, plain)
	after := credentials(t, before, &config.Identity{Name: "plain", Passwords: []string{"two", "three"}})
	for _, test := range []struct {
		password string
		want     bool
	}{{"one", false}, {"two", true}, {"three", true}} {
		if got, _ := login(t, after, "plain", test.password); got != test.want {
			t.Errorf("%q after the reload: %v", test.password, got)
		}
	}
	shared := 0
	for key := range after.minted {
		if _, ok := before.minted[key]; ok {
			shared++
		}
	}
	if len(after.minted) != 2 || shared != 1 {
		t.Errorf("%d minted, %d of them before", len(after.minted), shared)
	}
}

func TestNewCredentialsRefuses(t *testing.T) {
	bad := &config.Identity{Name: "bad", Verifiers: []string{"SCRAM-SHA-256$topsecret"}}
	if _, err := NewCredentials(identities(bad), nil); err == nil || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	c := credentials(t, nil, &config.Identity{Name: "alice", Passwords: []string{"topsecret"}})
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if printed := fmt.Sprintf(format, c); printed != "auth.Credentials(hidden)" {
			t.Errorf("%s prints %q", format, printed)
		}
	}
}

func certificate(change func(*x509.Certificate)) *x509.Certificate {
	uri, _ := url.Parse("spiffe://example/ns/epmt")
	leaf := &x509.Certificate{
		Subject:        pkix.Name{CommonName: "epmt-migrate", Names: []pkix.AttributeTypeAndValue{{Type: commonName, Value: "epmt-migrate"}}},
		DNSNames:       []string{"App.Example", "*.wild.example"},
		EmailAddresses: []string{"ops@example"},
	}
	leaf.URIs = append(leaf.URIs, uri)
	if change != nil {
		change(leaf)
	}
	return leaf
}

func TestMatchesCertificate(t *testing.T) {
	for _, test := range []struct {
		wanted []string
		leaf   *x509.Certificate
		want   bool
	}{
		{[]string{"CN=epmt-migrate"}, certificate(nil), true},
		{[]string{"CN=nobody", "DNS:app.example"}, certificate(nil), true},
		{[]string{"DNS:*.wild.example"}, certificate(nil), true},
		{[]string{"URI:spiffe://example/ns/epmt"}, certificate(nil), true},
		{[]string{"email:ops@example"}, certificate(nil), true},
		{nil, certificate(nil), false},
		{[]string{"CN=epmt-migrate"}, nil, false},
		{[]string{"CN=EPMT-migrate"}, certificate(nil), false},
		{[]string{"CN="}, certificate(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), false},
		{[]string{"CN=epmt-migrate"}, certificate(func(c *x509.Certificate) {
			c.Subject.Names = append(c.Subject.Names, pkix.AttributeTypeAndValue{Type: commonName, Value: "somebody"})
		}), false},
		{[]string{"CN=epmt"}, certificate(func(c *x509.Certificate) { c.Subject.CommonName = "epmt\x00.evil" }), false},
		{[]string{"DNS:a.wild.example"}, certificate(nil), false},
		{[]string{"DNS:epmt-migrate"}, certificate(nil), false},
		{[]string{"DNS:"}, certificate(func(c *x509.Certificate) { c.DNSNames = []string{""} }), false},
		{[]string{"URI:spiffe://example/ns"}, certificate(nil), false},
		{[]string{"email:OPS@example"}, certificate(nil), false},
		{[]string{"IP:1.2.3.4", "epmt-migrate", ""}, certificate(nil), false},
	} {
		if got := matchesCertificate(test.wanted, test.leaf); got != test.want {
			t.Errorf("%q: %v", test.wanted, got)
		}
	}
	if equalDNS("K", "\u212a") || equalDNS("k", "\u212a") {
		t.Error("the Kelvin sign is not a k")
	}
}

func TestBeginWithEvidence(t *testing.T) {
	c := credentials(t, nil,
		&config.Identity{Name: "migrate", Certs: []string{"CN=epmt-migrate"}},
		&config.Identity{Name: "gone", Certs: []string{"CN=epmt-migrate"}, Peer: "root", Disabled: true},
		&config.Identity{Name: "cron", Peer: "root"},
		&config.Identity{Name: "either", Certs: []string{"CN=other"}, Passwords: []string{"one"}},
	)
	leaf := certificate(nil)
	for _, test := range []struct {
		name   string
		shown  Evidence
		method string
	}{
		{"migrate", Evidence{Leaf: leaf}, MethodCert},
		{"migrate", Evidence{}, ""},
		{"migrate", Evidence{OSUser: "migrate"}, ""},
		{"gone", Evidence{Leaf: leaf, OSUser: "root"}, ""},
		{"cron", Evidence{OSUser: "root"}, MethodPeer},
		{"cron", Evidence{OSUser: "cron"}, ""},
		{"cron", Evidence{}, ""},
		{"either", Evidence{Leaf: leaf}, ""},
		{"unknown", Evidence{Leaf: leaf, OSUser: "unknown"}, ""},
	} {
		id, secret := c.Begin(test.name, test.shown)
		switch {
		case (id == nil) == (secret == nil):
			t.Errorf("%s: neither or both", test.name)
		case id == nil && test.method != "" || id != nil && (id.Method != test.method || id.Name != test.name):
			t.Errorf("%s: got %+v, want %q", test.name, id, test.method)
		}
	}
	if !c.Known("migrate") || c.Known("gone") || c.Known("unknown") {
		t.Error("Known")
	}
}
