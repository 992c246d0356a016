package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgtier/pgtier/integration/pgtest"
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
	if err := awaitAnswer(ctx, t, func(ctx context.Context) error { return b.answers(ctx, t) }); err != nil {
		return nil, err
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

// awaitAnswer asks until it is answered.
func awaitAnswer(ctx context.Context, t *target, ask func(context.Context) error) error {
	const within = 15 * time.Second
	asking, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	err := pgtest.Await(ctx, within, t.name+" answers", func() (bool, error) {
		last = ask(asking)
		return last == nil, nil
	})
	if err == nil {
		return nil
	}
	output, _ := os.ReadFile(t.log) // missing for PostgreSQL
	return errors.Join(fmt.Errorf("%w: %w\n%s", err, last, output), t.stop())
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
