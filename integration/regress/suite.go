package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// runSuite runs pg_regress once on a cluster of its own. That tests fail is no error; that the suite does not run is.
func runSuite(ctx context.Context, o options, name string) (err error) {
	// The same directory each time, because some tests print it.
	dir := filepath.Join(os.TempDir(), "pgtier-regress")
	c, err := pgtest.Start(ctx, pgtest.Options{Dir: dir, Auth: pgtest.Trust, Settings: map[string]string{
		"max_prepared_transactions": "2", // what the suite asks for when it makes a cluster itself
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s := &suite{options: o, cluster: c, dir: filepath.Join(c.SocketDir(), "suite"), port: c.Port, password: rand.Text()}
	switch name {
	case "direct", "again":
	case "session", "reuse", "transaction":
		stop, err := s.startPgtier(ctx, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	default:
		return fmt.Errorf("-runs: there is no %q", name)
	}
	if err := s.stage(ctx); err != nil {
		return err
	}
	if err := s.pgRegress(ctx); err != nil {
		return err
	}
	return s.collect(filepath.Join(o.out, name))
}

// suite is one run.
type suite struct {
	options
	cluster  *pgtest.Cluster
	dir      string // a copy of the suite, owned by the server's account: the server reads and writes files in it
	port     uint16 // what psql connects to
	password string
}

// stage copies the suite to where the server's account may read and write it. The directory of the socket is its own.
func (s *suite) stage(ctx context.Context) error {
	for to, from := range map[string]string{s.dir: s.suite, filepath.Join(s.dir, "lib"): s.lib} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return err
		}
	}
	owner, err := os.Stat(s.cluster.SocketDir())
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "chown", "-R", ownerOf(owner), s.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// pgRegress runs the suite's own driver, as the server's account: it does not run as root.
func (s *suite) pgRegress(ctx context.Context) error {
	bin := s.cluster.Binaries.Dir
	path := filepath.Join(bin, "../lib/pgxs/src/test/regress/pg_regress")
	cmd := exec.CommandContext(ctx, path, "--host=127.0.0.1", fmt.Sprintf("--port=%d", s.port), "--user="+pgtest.Superuser,
		"--bindir="+bin, "--dlpath="+filepath.Join(s.dir, "lib"), "--inputdir="+s.dir, "--outputdir="+s.dir,
		"--encoding=UTF8", "--no-locale", "--max-concurrent-tests=20", "--schedule="+filepath.Join(s.dir, s.schedule))
	s.cluster.AsServer(cmd)
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Env, "PGPASSWORD="+s.password, "PGSSLMODE=disable", "PGGSSENCMODE=disable")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // some tests have failed
	}
	return err
}

// collect keeps what the tests printed.
func (s *suite) collect(to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(s.dir, "results"))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "postgres.log"), []byte(s.cluster.Log()), 0o600)
}
