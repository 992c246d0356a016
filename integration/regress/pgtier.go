package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// ownerOf is the argument of chown that gives a file the same owner.
func ownerOf(info fs.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// startPgtier puts a pgtier in front of the cluster. Its one tier has the superuser's login: what the suite does needs that.
func (s *suite) startPgtier(ctx context.Context, run string) (stop func() error, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = uint16(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(s.out, "pgtier-"+run+".toml")
	if err := os.WriteFile(conf, []byte(s.config(run)), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.out, "pgtier-"+run+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.pgtier, "serve", "--config", conf)
	cmd.Env = []string{"PASSWORD=" + s.password}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended, which Wait tells
		return cmd.Wait()
	}
	if err := s.awaitListener(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// config has the two databases of the suite. In the run "session" every client gets a server that nobody had before: what is
// identical there, and is not in the run "reuse", differs because servers are used again.
func (s *suite) config(run string) string {
	pool := fmt.Sprintf("size = 60, mode = %q", run)
	if run == "reuse" {
		pool = `size = 60, mode = "session", reuse = true`
	}
	text := fmt.Sprintf(`config_version = 1
[listen]
address = "127.0.0.1:%d"
[servers.main]
host = "127.0.0.1"
port = %d
sslmode = "disable"
[identities.%s]
scram = %q
`, s.port, s.cluster.Port, pgtest.Superuser, scram.Mint(s.password, scram.NewSalt(), scram.DefaultIterations).Encode())
	for _, database := range []string{"postgres", "regression"} {
		text += fmt.Sprintf(`[databases.%s]
server = "main"
default_tier = "admin"
[databases.%[1]s.tiers.admin]
login = %[2]q
password = { env = "PASSWORD" }
accept_superuser = true
pool = { %[3]s }
[[grants]]
to = %[2]q
database = %[1]q
tiers = ["admin"]
`, database, pgtest.Superuser, pool)
	}
	return text
}

func (s *suite) awaitListener(ctx context.Context) error {
	return pgtest.Await(ctx, 15*time.Second, "pgtier listens", func() (bool, error) {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}
