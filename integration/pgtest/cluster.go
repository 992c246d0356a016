// Package pgtest runs throw-away PostgreSQL clusters: one directory, one postmaster, nothing left behind.
//
// It finds the server's programs, makes a cluster with initdb, runs the postmaster as a child on a free port of 127.0.0.1
// and on a Unix socket, and removes everything at Close. A small watcher process removes it too when the owner dies
// without calling Close (a panic, a test timeout, kill -9): see reaper.go. PostgreSQL refuses to run as root, so for root
// the server runs as another account of the machine: see account.go.
//
// The package does not import testing, because `pgtier demo` uses it; tests use package testpg on top. It is not for data
// that anybody wants to keep: durability is switched off.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Auth is how the server authenticates everybody but the superuser on the Unix socket.
type Auth string

// The zero Options.Auth is SCRAM.
const (
	SCRAM Auth = "scram-sha-256"
	Trust Auth = "trust"
)

// Superuser is the name of every cluster's superuser.
const Superuser = "postgres"

// Options of a cluster. The zero value is usable: a found server, a temporary directory, a free port, SCRAM, no TLS.
type Options struct {
	BinDir   string            // holds postgres and initdb; "": see FindBinaries
	Major    int               // the major version that is wanted; 0: any
	Dir      string            // where the cluster lives; must be absent or empty; "": a new temporary directory
	Keep     bool              // Close stops the server and leaves the directory
	Port     uint16            // on 127.0.0.1; 0: a free one
	Auth     Auth              // "": SCRAM
	TLS      bool              // with a certificate for 127.0.0.1 and localhost; see Cluster.CAFile
	Settings map[string]string // postgresql.conf, over the defaults of this package
	HBA      []string          // pg_hba.conf lines, before those of this package
}

// Cluster is a running, or stopped, PostgreSQL cluster. Its methods may be called from any goroutine.
type Cluster struct {
	Binaries Binaries
	Dir      string // holds everything of this cluster
	Port     uint16 // on 127.0.0.1 and in the name of the Unix socket
	CAFile   string // PEM; "" without TLS

	opts     Options
	account  account
	password string // of the superuser, over TCP
	reaper   *reaper

	mu   sync.Mutex // guards proc; held over starting and stopping, so that those exclude each other
	proc *process   // nil while the server is stopped
}

// Start makes a cluster and starts its server. It returns when the server accepts connections. The context bounds the
// start, not the life of the cluster, which is ended by Close.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	if o.Auth == "" {
		o.Auth = SCRAM
	}
	bin, err := FindBinaries(ctx, o.BinDir, o.Major)
	if err != nil {
		return nil, err
	}
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := makeClusterDir(o.Dir, acct)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Binaries: bin, Dir: dir, Port: o.Port, opts: o, account: acct, password: rand.Text()}
	if c.reaper, err = startReaper(c.dataDir(), dir, o.Keep); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err = c.create(ctx); err != nil {
		return nil, err
	}
	return c, c.startFirst(ctx)
}

// Close stops the server at once and removes the directory, unless Options.Keep. It may be called more than once.
func (c *Cluster) Close() error {
	c.Kill()
	return c.reaper.release()
}

// create lays the cluster out on disk.
func (c *Cluster) create(ctx context.Context) error {
	for _, dir := range []string{c.dataDir(), c.SocketDir()} {
		if err := c.account.makeOwnDir(dir); err != nil {
			return err
		}
	}
	if err := c.account.makeReadableDir(c.confDir()); err != nil {
		return err
	}
	if err := c.stageBinaries(); err != nil {
		return err
	}
	if err := c.initdb(ctx); err != nil {
		return err
	}
	if c.opts.TLS {
		if err := c.writeTLS(); err != nil {
			return err
		}
	}
	return c.writeHBA()
}

// startFirst starts the server for the first time. Between choosing a free port and PostgreSQL's bind somebody else may
// take it: then another one is chosen.
func (c *Cluster) startFirst(ctx context.Context) error {
	const attempts = 5
	for i := 1; ; i++ {
		if c.opts.Port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			c.Port = port
		}
		if err := c.writeConf(); err != nil {
			return err
		}
		err := c.StartServer(ctx)
		if err == nil {
			break
		}
		if c.opts.Port != 0 || i == attempts || !strings.Contains(c.Log(), "Address already in use") {
			return err
		}
	}
	return c.Exec(ctx, Superuser, "ALTER ROLE "+Superuser+" PASSWORD '"+c.password+"'")
}

// SocketDir is the directory of the server's Unix socket. Only the server's account (and root) may enter it.
func (c *Cluster) SocketDir() string { return filepath.Join(c.Dir, "socket") }

// Log returns what the server has logged since the cluster was made.
func (c *Cluster) Log() string {
	b, err := os.ReadFile(c.logFile())
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(b)
}

func (c *Cluster) dataDir() string { return filepath.Join(c.Dir, "data") }
func (c *Cluster) confDir() string { return filepath.Join(c.Dir, "conf") }
func (c *Cluster) logFile() string { return filepath.Join(c.Dir, "postgres.log") }
