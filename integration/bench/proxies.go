package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

func freePort() (uint16, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return uint16(l.Addr().(*net.TCPAddr).Port), l.Close()
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)[^\s]*`)

// pgbouncerPrepared is since when PgBouncer keeps prepared statements in transaction mode (changelog, 1.21.0).
const pgbouncerPrepared = 21

func (b *lab) newPgBouncer(ctx context.Context) (*target, error) {
	path := b.bouncerPath()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("PgBouncer: %w", err)
	}
	version := versionNumber.FindSubmatch(out)
	if version == nil {
		return nil, fmt.Errorf("%s --version said %q", path, out)
	}
	lacks := map[string]string{}
	more := fmt.Sprintf("default_pool_size = %d\n", b.options.poolSize)
	if minor, _ := strconv.Atoi(string(version[2])); minor < pgbouncerPrepared {
		lacks["prepared"] = fmt.Sprintf("PgBouncer %s has no prepared statements in transaction mode (1.21 has)", version[0])
	} else {
		more += "max_prepared_statements = 200\n"
	}
	t, err := b.bouncer("pgbouncer", account, fmt.Sprintf("%q %q\n", account, b.verifier), more)
	if err != nil {
		return nil, err
	}
	t.version, t.lacks = string(version[0]), lacks
	return t, nil
}

func (b *lab) bouncerPath() string {
	if path := b.options.pgbouncer; path != "" {
		return path
	}
	if found, err := exec.LookPath("pgbouncer"); err == nil {
		return found
	}
	return "/usr/sbin/pgbouncer" // Debian's $PATH for ordinary accounts lacks it
}

// bouncer is a PgBouncer in front of one database, with these lines of userlist.txt, and more lines of its configuration.
func (b *lab) bouncer(name, database, users, more string) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	list, err := b.cluster.WriteConf(name+".txt", []byte(users))
	if err != nil {
		return nil, err
	}
	conf, err := b.cluster.WriteConf(name+".ini", fmt.Appendf(nil, `[databases]
%s = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
max_client_conn = 10000
%s`, database, b.cluster.Port, port, list, more))
	if err != nil {
		return nil, err
	}
	t := &target{name: name, port: port, cmd: exec.Command(b.bouncerPath(), "--quiet", conf)}
	b.cluster.AsServer(t.cmd) // it refuses to run as root
	return t, nil
}

func (b *lab) newPgtier(ctx context.Context) (*target, error) {
	password, err := b.writeFile("password", b.password)
	if err != nil {
		return nil, err
	}
	t, err := b.pgtier("pgtier", fmt.Sprintf(`[databases.%s]
server = "main"
default_tier = "rw"
[databases.%[1]s.tiers.rw]
login = "%[1]s"
password = { file = %[2]q }
pool = { size = %[3]d }
[identities.%[1]s]
scram = %[4]q
[[grants]]
to = "%[1]s"
database = "%[1]s"
tiers = ["rw"]
`, account, password, b.options.poolSize, b.verifier))
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, t.cmd.Path, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("pgtier: %w (make build)", err)
	}
	t.version = firstLine(out)
	return t, nil
}

// pgtier is a pgtier in front of the cluster, server "main" of its configuration, of which more is the rest.
func (b *lab) pgtier(name, more string) (*target, error) {
	path, err := filepath.Abs(b.options.pgtier)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf, err := b.writeFile(name+".toml", fmt.Sprintf(`config_version = 1
[listen]
address = "127.0.0.1:%d"
[servers.main]
host = "127.0.0.1"
port = %d
sslmode = "disable"
[log]
level = "warn"
%s`, port, b.cluster.Port, more))
	if err != nil {
		return nil, err
	}
	return &target{name: name, port: port, cmd: exec.Command(path, "serve", "--config", conf)}, nil
}
