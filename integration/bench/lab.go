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

// account is the name of the database, of its owner and of the identity of every client.
const account = "bench"

// lab is what all runs share: the cluster with pgbench's tables, and files.
type lab struct {
	options  options
	cluster  *pgtest.Cluster
	password string
	verifier string // SCRAM, as PostgreSQL made it; both proxies check clients against it
	dir      string // scratch, ours
	tool     string // pgbench
}

func newLab(ctx context.Context, o options) (_ *lab, err error) {
	b := &lab{options: o, password: rand.Text()}
	if b.dir, err = os.MkdirTemp("", "pgtier-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	b.cluster, err = pgtest.Start(ctx, pgtest.Options{Settings: map[string]string{
		"max_connections": "700", // direct runs have a server connection for each client
		"shared_buffers":  "256MB",
		"autovacuum":      "off", // it would run for whoever is measured at that moment
		"max_wal_size":    "4GB",
	}})
	if err != nil {
		return nil, err
	}
	if b.tool, err = b.cluster.Binaries.Tool("pgbench"); err != nil {
		return nil, err
	}
	return b, b.createDatabase(ctx)
}

func (b *lab) createDatabase(ctx context.Context) (err error) {
	for _, sql := range []string{
		"CREATE ROLE " + account + " LOGIN PASSWORD '" + b.password + "'", // letters and digits: rand.Text
		"CREATE DATABASE " + account + " OWNER " + account,
	} {
		if err := b.cluster.Exec(ctx, pgtest.Superuser, sql); err != nil {
			return err
		}
	}
	b.verifier, err = b.cluster.QueryText(ctx, pgtest.Superuser, "SELECT rolpassword FROM pg_authid WHERE rolname = '"+account+"'")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.tool, "--initialize", "--quiet", "--scale", fmt.Sprint(b.options.scale))
	cmd.Env = b.clientEnv(b.cluster.Port)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench --initialize: %w\n%s", err, out)
	}
	return b.cluster.Exec(ctx, account, "CHECKPOINT")
}

// clientEnv makes libpq connect to a port of 127.0.0.1.
func (b *lab) clientEnv(port uint16) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", port), "PGSSLMODE=disable", "PGGSSENCMODE=disable",
		"PGUSER=" + account, "PGDATABASE=" + account, "PGPASSWORD=" + b.password,
	}
}

func (b *lab) close() error {
	err := os.RemoveAll(b.dir)
	if b.cluster != nil {
		err = errors.Join(err, b.cluster.Close())
	}
	return err
}

// writeFile writes a file into the lab's own directory.
func (b *lab) writeFile(name, content string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, []byte(content), 0o600)
}
