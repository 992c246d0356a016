package harness

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// mint makes the identities' verifiers.
func mint(iterations int) map[string]string {
	m := make(map[string]string)
	for _, i := range append([]Identity{{Name: "retired"}}, Identities...) {
		m[i.Name] = scram.Mint(i.Password(), scram.NewSalt(), iterations).Encode()
	}
	return m
}

// setup is everything that a pgtier needs before it runs.
type setup struct {
	endpoint  *Endpoint
	dir       string // holds the files below; removed with the test
	text      string // the configuration
	file      string // with text in it
	env       map[string]string
	verifiers map[string]string // by identity
}

func newSetup(t testing.TB, o Options) *setup {
	t.Helper()
	o.fill(t)
	// Not t.TempDir: its name may be too long for a Unix socket.
	dir, err := os.MkdirTemp("", "pgtier-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &setup{
		endpoint: &Endpoint{Host: o.Address, Port: freePort(t, o.Address), SocketDir: dir, Cluster: o.Cluster, EPMT: o.EPMT, tls: o.TLS},
		dir:      dir, file: filepath.Join(dir, "pgtier.toml"), env: make(map[string]string), verifiers: mint(o.Iterations),
	}
	for tier, account := range accounts(o.EPMT) {
		s.env[passwordVariable(tier)] = account.Password
	}
	for name, value := range o.Env {
		s.env[name] = value
	}
	if o.TLS {
		s.writeTLS(t, o)
	}
	s.text = s.write(o)
	if err := os.WriteFile(s.file, []byte(s.text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func accounts(e *pgtest.EPMT) map[string]pgtest.Account {
	return map[string]pgtest.Account{"ro": e.RO, "rw": e.RW, "admin": e.Admin}
}

func passwordVariable(tier string) string { return "PASSWORD_OF_" + strings.ToUpper(tier) }

// lookup is the daemon's environment.
func (s *setup) lookup(name string) (string, bool) {
	value, ok := s.env[name]
	return value, ok
}

var defaultPools = map[string]string{"ro": "size = 10", "rw": "size = 5", "admin": "size = 2"}

func (s *setup) write(o Options) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("config_version = 1\n[listen]\naddress = %q\nunix_socket_dir = %q", s.endpoint.Addr(), s.dir)
	if o.TLS {
		line("tls_cert = %q\ntls_key = %q", filepath.Join(s.dir, "tls.crt"), filepath.Join(s.dir, "tls.key"))
	}
	if o.ClientCA {
		line("tls_client_ca = %q", s.endpoint.CAFile)
	}
	line("%s", o.Listen)
	line("[servers.main]\nhost = \"127.0.0.1\"\nport = %d\n%s", o.Port, o.Server)
	line("[databases.EPMT]\nserver = \"main\"\ndefault_tier = \"ro\"")
	for _, tier := range []string{"ro", "rw", "admin"} {
		pool := o.Pools[tier]
		if pool == "" {
			pool = defaultPools[tier]
		}
		line("[databases.EPMT.tiers.%s]\nlogin = %q\npassword = { env = %q }\npool = { %s }\n%s",
			tier, accounts(o.EPMT)[tier].Name, passwordVariable(tier), pool, o.Tiers[tier])
	}
	for _, i := range Identities {
		line("[identities.%s]\nscram = %q", i.Name, s.verifiers[i.Name])
		line("[[grants]]\nto = %q\ndatabase = \"EPMT\"\ntiers = [\"%s\"]\ndefault = %q\n%s",
			i.Name, strings.Join(i.Tiers, `", "`), i.Default, o.Grants[i.Name])
	}
	line("[identities.retired]\nscram = %q\ndisabled = true", s.verifiers["retired"])
	line("%s", o.More)
	return b.String()
}

func (s *setup) writeTLS(t testing.TB, o Options) {
	t.Helper()
	ca, err := pgtest.NewAuthority("pgtier tests")
	if err != nil {
		t.Fatal(err)
	}
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(o.Address)}
	cert, key, err := ca.Issue(pgtest.Leaf{CommonName: "pgtier", DNS: []string{"localhost"}, IPs: ips})
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint.Authority, s.endpoint.CAFile = ca, filepath.Join(s.dir, "ca.crt")
	for name, content := range map[string][]byte{"ca.crt": ca.CertPEM, "tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// freePort asks the kernel for one. Somebody else may take it before pgtier does; the ports that the kernel gives away go
// round, so that it would have to be unlucky twice.
func freePort(t testing.TB, address string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
