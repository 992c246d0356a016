package main

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// demoIdentity is who may use the demo, and how.
type demoIdentity struct {
	Name    string
	Tiers   []string
	Default string
}

var demoIdentities = []demoIdentity{
	{"alice", []string{"ro"}, "ro"},
	{"ingest", []string{"ro", "rw"}, "rw"},
	{"migrate", []string{"admin"}, "admin"},
	{"ops", []string{"ro", "rw", "admin"}, "ro"},
}

// Password is as well known as it looks: the demo listens on loopback unless told otherwise.
func (i demoIdentity) Password() string { return i.Name + "-demo" }

// Verifier is a new verifier of the password.
func (i demoIdentity) Verifier() string {
	return scram.Mint(i.Password(), scram.NewSalt(), scram.DefaultIterations).Encode()
}

type demoTier struct {
	Name, Login, PasswordFile string
	Size                      int
}

// demoConfig is what demo.toml.tmpl is filled with.
type demoConfig struct {
	Cluster, File, Listen string
	TLSCert, TLSKey       string // files; "" without TLS
	Port                  uint16
	Tiers                 []demoTier
	Identities            []demoIdentity
}

//go:embed demo.toml.tmpl
var demoConfigText string

// A Go string in quotes is a TOML string in quotes as long as it holds no control characters: write refuses those.
var demoConfigTemplate = template.Must(template.New("pgtier.toml").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(demoConfigText))

// writeDemoConfig writes pgtier.toml and the files that it names into a new directory of the cluster, and returns its path.
func writeDemoConfig(c *pgtest.Cluster, e *pgtest.EPMT, listen string) (string, error) {
	dir := filepath.Join(c.Dir, "pgtier")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	d := demoConfig{
		Cluster: "the throw-away PostgreSQL " + c.Binaries.Version, File: filepath.Join(dir, "pgtier.toml"), Listen: listen,
		Port: c.Port, Identities: demoIdentities,
	}
	for _, t := range []struct {
		name    string
		account pgtest.Account
		size    int
	}{{"ro", e.RO, 10}, {"rw", e.RW, 5}, {"admin", e.Admin, 2}} {
		file := filepath.Join(dir, t.account.Name+".password")
		if err := os.WriteFile(file, []byte(t.account.Password+"\n"), 0o600); err != nil {
			return "", err
		}
		d.Tiers = append(d.Tiers, demoTier{t.name, t.account.Name, file, t.size})
	}
	if err := d.addTLS(dir); err != nil {
		return "", err
	}
	return d.File, d.write()
}

// addTLS makes a certificate when the address can be reached from elsewhere: no password is taken in clear there.
func (d *demoConfig) addTLS(dir string) error {
	host, _, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	ip := net.ParseIP(host)
	if host == "localhost" || ip.IsLoopback() {
		return nil
	}
	leaf := pgtest.Leaf{CommonName: "pgtier demo", DNS: []string{"localhost"}}
	if ip != nil {
		leaf.IPs = []net.IP{ip}
	} else if host != "" {
		leaf.DNS = append(leaf.DNS, host)
	}
	ca, err := pgtest.NewAuthority("pgtier demo")
	if err != nil {
		return err
	}
	cert, key, err := ca.Issue(leaf)
	if err != nil {
		return err
	}
	d.TLSCert, d.TLSKey = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := os.WriteFile(d.TLSCert, cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(d.TLSKey, key, 0o600)
}

func (d *demoConfig) write() error {
	if strings.ContainsFunc(d.File+d.Listen, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return fmt.Errorf("%q and %q: only printable characters, please", d.File, d.Listen)
	}
	var b strings.Builder
	if err := demoConfigTemplate.Execute(&b, d); err != nil {
		return err
	}
	return os.WriteFile(d.File, []byte(b.String()), 0o600)
}
