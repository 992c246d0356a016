package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/integration/pgtest"
)

// The crowd is many people, each with a PostgreSQL role and rows of their own, on a few server connections. pgbench has one
// user for all its clients, so this load is our own: everybody asks, is answered, and asks again.

// crowdLoad is one combination of clients and identities.
type crowdLoad struct {
	target     string
	clients    int
	identities int
	tps        []float64 // one for each round
	failed     string
}

// crowdLoads are what is measured. The first is what the others of its number of clients are compared with.
func crowdLoads(people int) []*crowdLoad {
	return []*crowdLoad{
		{target: crowdBouncer, clients: people, identities: people},
		{target: crowdRole, clients: people, identities: people},
		{target: crowdShared, clients: people, identities: people},
		{target: crowdShared, clients: 64, identities: 1},
		{target: crowdShared, clients: 64, identities: 64},
	}
}

const (
	crowdBouncer = "pgbouncer, a pool for each user"
	crowdRole    = "pgtier, role"
	crowdShared  = "pgtier, shared and guard"
)

const crowdSQL = `
	CREATE TABLE crowd (owner name NOT NULL, n int NOT NULL);
	INSERT INTO crowd SELECT rolname, n FROM pg_roles, generate_series(1, 5) n WHERE rolname ~ '^p[0-9]{5}$';
	CREATE INDEX ON crowd (owner);
	ANALYZE crowd;
	ALTER TABLE crowd ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON crowd USING (owner = current_user);
	GRANT SELECT ON crowd TO PUBLIC`

func personName(i int) string { return fmt.Sprintf("p%05d", i) }

// measureCrowd makes the people and their database, and runs every load in every round.
func (b *lab) measureCrowd(ctx context.Context) ([]*crowdLoad, error) {
	if err := b.createCrowd(ctx); err != nil {
		return nil, err
	}
	loads := crowdLoads(b.options.crowd)
	for round := range b.options.rounds {
		order := slices.Clone(loads)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, l := range order {
			if l.failed != "" {
				continue
			}
			tps, err := b.runCrowd(ctx, l)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				l.failed = err.Error()
			}
			l.tps = append(l.tps, tps)
			fmt.Fprintf(os.Stderr, "%4d identities, %4d clients  %-32s %8.0f tps %s\n", l.identities, l.clients, l.target, tps, l.failed)
		}
	}
	return loads, nil
}

func (b *lab) createCrowd(ctx context.Context) error {
	people := fmt.Sprintf(`CREATE ROLE px_crowd LOGIN NOINHERIT PASSWORD '%[1]s';
		DO $$ BEGIN FOR i IN 0..%[2]d LOOP
			EXECUTE format('CREATE ROLE %%1$I LOGIN PASSWORD ''%[1]s''; GRANT %%1$I TO px_crowd', 'p' || to_char(i, 'FM00000'));
		END LOOP; END $$`, b.verifier, b.options.crowd-1)
	for _, x := range []struct{ database, sql string }{{pgtest.Superuser, people}, {pgtest.Superuser, "CREATE DATABASE crowd"}, {"crowd", crowdSQL}} {
		if err := b.cluster.Exec(ctx, x.database, x.sql); err != nil {
			return err
		}
	}
	conn, err := b.cluster.Connect(ctx, "crowd")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return roles.Hardening{Database: "crowd"}.Apply(ctx, conn, &strings.Builder{})
}

// runCrowd runs one load once, on a fresh proxy.
func (b *lab) runCrowd(ctx context.Context, l *crowdLoad) (tps float64, err error) {
	t, err := b.startCrowd(ctx, l.target)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	conns := make([]*pgconn.PgConn, l.clients)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close(ctx)
			}
		}
	}()
	if err := each(len(conns), 16, func(i int) (err error) {
		conns[i], err = b.connectPerson(ctx, t, personName(i%l.identities))
		return err
	}); err != nil {
		return 0, err
	}
	var count atomic.Int64
	began := time.Now()
	end := began.Add(time.Duration(b.options.seconds) * time.Second)
	err = each(len(conns), len(conns), func(i int) error {
		for time.Now().Before(end) {
			if err := askPerson(ctx, conns[i], personName(i%l.identities)); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	return float64(count.Load()) / time.Since(began).Seconds(), err
}

func askPerson(ctx context.Context, conn *pgconn.PgConn, name string) error {
	results, err := conn.Exec(ctx, "SELECT current_user, count(*) FROM public.crowd").ReadAll()
	if err != nil {
		return err
	}
	if row := results[0].Rows[0]; string(row[0]) != name || string(row[1]) != "5" {
		return fmt.Errorf("%s was answered %q", name, row)
	}
	return nil
}

func (b *lab) connectPerson(ctx context.Context, t *target, name string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/crowd?sslmode=disable", name, b.password, t.port))
}
