package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// patience is how long anything that must happen may take: requests, connecting, becoming quiet. Something that takes longer
// is stuck.
const patience = time.Minute

// identities of the clients in transaction mode: several, so that servers go from one to another and are reset in between.
var identities = []string{"ada", "bob", "cyd"}

// keeper is the identity of the clients in session mode.
const keeper = "keeper"

// lab is what all phases share: PostgreSQL with EPMT in it, and pgtier in front.
type lab struct {
	options
	cluster *pgtest.Cluster
	epmt    *pgtest.EPMT
	dir     string
	port    uint16
	cmd     *exec.Cmd
	logFile string
}

func newLab(ctx context.Context, o options) (_ *lab, err error) {
	l := &lab{options: o}
	if l.dir, err = os.MkdirTemp("", "pgtier-soak-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	l.cluster, err = pgtest.Start(ctx, pgtest.Options{Settings: map[string]string{
		"log_connections":    "on", // they are counted
		"synchronous_commit": "on", // what is committed is still there after a crash of PostgreSQL
	}})
	if err != nil {
		return nil, err
	}
	if l.epmt, err = l.cluster.CreateEPMT(ctx); err != nil {
		return nil, err
	}
	if err := l.cluster.Exec(ctx, l.epmt.Database, tables); err != nil {
		return nil, err
	}
	return l, l.startPgtier(ctx)
}

// tables are what clients write to, the tier rw through the default privileges of EPMT.
const tables = `
GRANT TEMPORARY ON DATABASE "EPMT" TO "epmt-rw";
SET ROLE "epmt-admin";
CREATE TABLE soak_copy (client int, seq int, n int);
CREATE TABLE soak_rows (client int, seq int, PRIMARY KEY (client, seq));
`

func (l *lab) close() error {
	if l.cmd != nil && l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill() // fails only when it has ended
		_ = l.cmd.Wait()         // killed
	}
	err := os.RemoveAll(l.dir)
	if l.cluster != nil {
		err = errors.Join(err, l.cluster.Close())
	}
	return err
}

func (l *lab) startPgtier(ctx context.Context) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.port = uint16(listener.Addr().(*net.TCPAddr).Port)
	_ = listener.Close()
	conf := filepath.Join(l.dir, "pgtier.toml")
	if err := os.WriteFile(conf, []byte(l.config()), 0o600); err != nil {
		return err
	}
	l.logFile = filepath.Join(l.dir, "pgtier.log")
	log, err := os.Create(l.logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	l.cmd = exec.Command(l.pgtier, "serve", "--config", conf)
	l.cmd.Env = []string{"RW=" + l.epmt.RW.Password, "ADMIN=" + l.epmt.Admin.Password}
	l.cmd.Stdout, l.cmd.Stderr = log, log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	return l.eventually(ctx, "pgtier listens", func() (bool, error) {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", l.port))
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// config has no time limit that a client of the soak meets but query_wait, which is shorter than patience: a client that
// gets no server is told, and is not stuck. After PostgreSQL is back, clients shall not wait long for it.
func (l *lab) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `config_version = 1
[listen]
address = "127.0.0.1:%d"
[timeouts]
query_wait = "30s"
server_login_retry = "1s"
[servers.main]
host = "127.0.0.1"
port = %d
sslmode = "disable"
[databases.EPMT]
server = "main"
default_tier = "rw"
[databases.EPMT.tiers.rw]
login = "epmt-rw"
password = { env = "RW" }
pool = { size = %d, mode = "transaction" }
[databases.EPMT.tiers.admin]
login = "epmt-admin"
password = { env = "ADMIN" }
pool = { size = %d, mode = "session", reuse = true }
`, l.port, l.cluster.Port, l.servers, max(1, l.sessions))
	for _, name := range append([]string{keeper}, identities...) {
		tier := "rw"
		if name == keeper {
			tier = "admin"
		}
		fmt.Fprintf(&b, "[identities.%s]\nscram = %q\n[[grants]]\nto = %[1]q\ndatabase = \"EPMT\"\ntiers = [%[3]q]\n",
			name, scram.Mint(name, scram.NewSalt(), scram.DefaultIterations).Encode(), tier)
	}
	return b.String()
}

// dsn is how an identity connects; its password is its name.
func (l *lab) dsn(identity string) string {
	return fmt.Sprintf("postgresql://%s:%[1]s@127.0.0.1:%d/EPMT?sslmode=disable", identity, l.port)
}

func (l *lab) eventually(ctx context.Context, what string, is func() (bool, error)) error {
	return pgtest.Await(ctx, patience, what, is)
}
