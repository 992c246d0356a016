package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// stageBinaries copies the programs into the cluster's directory when the server's account cannot reach them: a checkout
// below /root, for example, with the test matrix in its cache.
func (c *Cluster) stageBinaries() error {
	if c.account.canReach(c.Binaries.Dir) {
		return nil
	}
	prefix, staged := filepath.Dir(c.Binaries.Dir), filepath.Join(c.Dir, "pgsql")
	if err := os.CopyFS(staged, os.DirFS(prefix)); err != nil {
		return fmt.Errorf("copying PostgreSQL to where uid %d can reach it: %w", c.account.uid, err)
	}
	if err := c.account.makeReadable(staged, 0o750); err != nil {
		return err
	}
	c.Binaries.Dir = filepath.Join(staged, filepath.Base(c.Binaries.Dir))
	return nil
}

func (c *Cluster) initdb(ctx context.Context) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.Binaries.Dir, "initdb"), "--pgdata", c.dataDir(), "--username", Superuser,
		"--auth", "reject", // never in force: hba_file points elsewhere
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	c.AsServer(cmd)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out.Bytes())
	}
	return nil
}

// WriteConf writes a file beside the server's configuration, where its account, and nobody else, may read it.
func (c *Cluster) WriteConf(name string, content []byte) (path string, err error) {
	path = filepath.Join(c.confDir(), name)
	return path, c.account.writeFile(path, content)
}

// AsServer makes a command run as the server's account, in a session of its own, with an environment that holds nothing of
// ours: PG* variables and locales change what PostgreSQL's programs do.
func (c *Cluster) AsServer(cmd *exec.Cmd) {
	cmd.Dir = c.dataDir()
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + c.dataDir()}
	cmd.SysProcAttr = c.account.attributes()
}

// writeConf writes postgresql.conf. It lives outside the data directory, which belongs to the server.
func (c *Cluster) writeConf() error {
	settings := map[string]string{
		"data_directory":          c.dataDir(),
		"hba_file":                filepath.Join(c.confDir(), "pg_hba.conf"),
		"listen_addresses":        "127.0.0.1",
		"port":                    fmt.Sprint(c.Port),
		"unix_socket_directories": c.SocketDir(),
		"max_connections":         "200",
		"password_encryption":     "scram-sha-256",
		// Throw-away data: a crash of the machine may lose it, a crash of the server does not.
		"fsync":              "off",
		"synchronous_commit": "off",
		"full_page_writes":   "off",
		"log_line_prefix":    "%m [%p] %q%u@%d ",
		"timezone":           "UTC",
		"log_timezone":       "UTC",
	}
	if c.opts.TLS {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = filepath.Join(c.confDir(), "server.crt")
		settings["ssl_key_file"] = filepath.Join(c.confDir(), "server.key")
		settings["ssl_ca_file"] = filepath.Join(c.confDir(), "ca.crt")
	}
	maps.Copy(settings, c.opts.Settings)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, confEscaper.Replace(settings[name]))
	}
	return c.account.writeFile(filepath.Join(c.confDir(), "postgresql.conf"), []byte(b.String()))
}

// confEscaper escapes what is inside quotes in postgresql.conf (guc-file.l, DeescapeQuotedString).
var confEscaper = strings.NewReplacer(`'`, `''`, `\`, `\\`, "\n", `\n`)

// writeHBA writes pg_hba.conf. The superuser gets in without a password on the Unix socket only, whose directory keeps
// other accounts of the machine out.
func (c *Cluster) writeHBA() error {
	lines := slices.Concat(c.opts.HBA, []string{
		"local all         " + Superuser + " trust",
		"local all         all      " + string(c.opts.Auth),
		"host  all         all      127.0.0.1/32 " + string(c.opts.Auth),
		"local replication all      " + string(c.opts.Auth),
		"host  replication all      127.0.0.1/32 " + string(c.opts.Auth),
	})
	return c.account.writeFile(filepath.Join(c.confDir(), "pg_hba.conf"), []byte(strings.Join(lines, "\n")+"\n"))
}

// writeTLS makes a certificate authority and a server certificate for 127.0.0.1 and localhost.
func (c *Cluster) writeTLS() error {
	ca, err := NewAuthority("pgtier throw-away cluster")
	if err != nil {
		return err
	}
	cert, key, err := ca.Issue(Leaf{CommonName: "localhost", DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		return err
	}
	c.CAFile = filepath.Join(c.confDir(), "ca.crt")
	for name, content := range map[string][]byte{"ca.crt": ca.CertPEM, "server.crt": cert, "server.key": key} {
		if err := c.account.writeFile(filepath.Join(c.confDir(), name), content); err != nil {
			return err
		}
	}
	return nil
}

// freePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return uint16(l.Addr().(*net.TCPAddr).Port), l.Close()
}
