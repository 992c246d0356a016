package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// havoc kills servers until the end of ctx, restarts PostgreSQL at a third of the time and lets it crash at two thirds.
func (l *lab) havoc(ctx context.Context, r *report) error {
	deadline, _ := ctx.Deadline()
	total := time.Until(deadline)
	restart, crash := time.After(total/3), time.After(total*2/3)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-restart:
			if err := l.cluster.Restart(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("restarting PostgreSQL: %w", err)
			}
			r.restarts.Add(1)
		case <-crash:
			l.cluster.Kill()
			if err := l.cluster.StartServer(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("starting PostgreSQL after its crash: %w", err)
			}
			r.restarts.Add(1)
		case <-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond):
			l.killServer(ctx, r)
		}
	}
}

// killServer ends one of pgtier's server connections, whoever has it.
func (l *lab) killServer(ctx context.Context, r *report) {
	const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('epmt-rw', 'epmt-admin')
		AND backend_type = 'client backend' ORDER BY random() LIMIT 1`
	// A server that cannot be killed just now, because of a restart, will be killed the next time.
	if killed, err := l.cluster.QueryText(ctx, pgtest.Superuser, sql); err == nil && killed == "t" {
		r.serverKills.Add(1)
	}
}

// serverLogins is how often pgtier has logged in to PostgreSQL for the clients in transaction mode so far.
func (l *lab) serverLogins() int {
	return strings.Count(l.cluster.Log(), "connection authorized: user=epmt-rw ")
}
