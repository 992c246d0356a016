package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// target is what clients connect to: PostgreSQL itself, or a proxy in front of it.
type target struct {
	name    string
	version string
	port    uint16
	lacks   map[string]string // query modes that it cannot do, and why
	cmd     *exec.Cmd         // nil for PostgreSQL itself
	log     string            // the proxy's output
}

func (t *target) isProxy() bool { return t.cmd != nil }

// cannot says why a load is not run on the target; "" when it is.
func (t *target) cannot(mode string, clients int) string {
	const maxDirect = 600 // below max_connections of the cluster
	if !t.isProxy() && clients > maxDirect {
		return "too many clients without a proxy"
	}
	return t.lacks[mode]
}

func (b *lab) startTargets(ctx context.Context) ([]*target, error) {
	var targets []*target
	for _, name := range b.options.targets {
		t, err := b.start(ctx, name)
		if err != nil {
			return nil, errors.Join(err, stopAll(targets))
		}
		targets = append(targets, t)
	}
	return targets, nil
}

func stopAll(targets []*target) error {
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.stop())
	}
	return errors.Join(errs...)
}

// start starts a target and returns when it answers a query.
func (b *lab) start(ctx context.Context, name string) (*target, error) {
	var t *target
	var err error
	switch name {
	case "direct":
		t = &target{name: name, port: b.cluster.Port, version: b.cluster.Binaries.Version}
	case "pgbouncer":
		t, err = b.newPgBouncer(ctx)
	case "pgtier":
		t, err = b.newPgtier(ctx)
	default:
		return nil, fmt.Errorf("-targets: there is no %q", name)
	}
	if err != nil {
		return nil, err
	}
	if t.isProxy() {
		if err := t.spawn(b.dir); err != nil {
			return nil, err
		}
	}
	if err := b.awaitAnswer(ctx, t); err != nil {
		output, _ := os.ReadFile(t.log) // missing for PostgreSQL
		return nil, errors.Join(fmt.Errorf("%s does not answer: %w\n%s", name, err, output), t.stop())
	}
	return t, nil
}

// spawn starts the proxy with as many file descriptors as it may have: the soft limit is often 1024.
func (t *target) spawn(dir string) error {
	log, err := os.Create(filepath.Join(dir, t.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	t.log = log.Name()
	t.cmd.Args = append([]string{"sh", "-c", `ulimit -n "$(ulimit -Hn)"; exec "$@"`, "sh"}, append([]string{t.cmd.Path}, t.cmd.Args[1:]...)...)
	t.cmd.Path = "/bin/sh"
	t.cmd.Stdout, t.cmd.Stderr = log, log
	if t.cmd.SysProcAttr == nil {
		t.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	t.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return t.cmd.Start()
}

// stop ends a proxy at once; nothing of it is needed any more.
func (t *target) stop() error {
	if !t.isProxy() || t.cmd.Process == nil {
		return nil
	}
	if err := t.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = t.cmd.Wait() // killed
	return nil
}

// awaitAnswer connects until a query is answered.
func (b *lab) awaitAnswer(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := b.answers(ctx, t)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (b *lab) answers(ctx context.Context, t *target) error {
	conn, err := b.connect(ctx, t)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
	return err
}

func (b *lab) connect(ctx context.Context, t *target) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/%[1]s?sslmode=disable", account, b.password, t.port))
}

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
	path := b.options.pgbouncer
	if path == "" {
		path = "/usr/sbin/pgbouncer" // Debian's $PATH for ordinary accounts lacks it
		if found, err := exec.LookPath("pgbouncer"); err == nil {
			path = found
		}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("PgBouncer: %w", err)
	}
	version := versionNumber.FindSubmatch(out)
	if version == nil {
		return nil, fmt.Errorf("%s --version said %q", path, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: "pgbouncer", version: string(version[0]), port: port, lacks: map[string]string{}}
	prepared := "max_prepared_statements = 200\n"
	if minor, _ := strconv.Atoi(string(version[2])); minor < pgbouncerPrepared {
		t.lacks["prepared"] = "PgBouncer " + t.version + " has no prepared statements in transaction mode (1.21 has)"
		prepared = ""
	}
	users, err := b.cluster.WriteConf("userlist.txt", []byte(fmt.Sprintf("%q %q\n", account, b.verifier)))
	if err != nil {
		return nil, err
	}
	conf, err := b.cluster.WriteConf("pgbouncer.ini", []byte(fmt.Sprintf(`[databases]
%s = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 10000
%s`, account, b.cluster.Port, port, users, b.options.poolSize, prepared)))
	if err != nil {
		return nil, err
	}
	t.cmd = exec.Command(path, "--quiet", conf)
	b.cluster.AsServer(t.cmd) // it refuses to run as root
	return t, nil
}

func (b *lab) newPgtier(ctx context.Context) (*target, error) {
	path, err := filepath.Abs(b.options.pgtier)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("pgtier: %w (make build)", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password, err := b.writeFile("password", b.password)
	if err != nil {
		return nil, err
	}
	conf, err := b.writeFile("pgtier.toml", fmt.Sprintf(`config_version = 1
[listen]
address = "127.0.0.1:%d"
[servers.main]
host = "127.0.0.1"
port = %d
sslmode = "disable"
[databases.%s]
server = "main"
default_tier = "rw"
[databases.%[3]s.tiers.rw]
login = "%[3]s"
password = { file = %[4]q }
pool = { size = %[5]d }
[identities.%[3]s]
scram = %[6]q
[[grants]]
to = "%[3]s"
database = "%[3]s"
tiers = ["rw"]
[log]
level = "warn"
`, port, b.cluster.Port, account, password, b.options.poolSize, b.verifier))
	if err != nil {
		return nil, err
	}
	return &target{
		name: "pgtier", version: firstLine(out), port: port, cmd: exec.Command(path, "serve", "--config", conf),
	}, nil
}
