// Package roles compares what a configuration wants of PostgreSQL's roles and grants with what is there.
//
// Doctor logs in as each tier, reads the catalogs and reports what breaks the wall between tiers, or would not work, with
// the SQL that mends it. It changes nothing: its transactions are read-only. Hardening lists what a guarded database takes
// away from PUBLIC, writes it as SQL and, given an administrator's connection, does and undoes it.
//
//	inspect  one tier's server, as facts                   (inspect.go, sql/)
//	wanted   what the configuration says about the tier    (wanted.go)
//	diff     the two beside each other, as findings        (check_*.go)
//
// Only inspecting talks to a server; everything else is a pure function of its arguments. The package does not know how to
// log in: the caller brings a Connect. Whatever it reads was named by somebody who may be hostile: names get into SQL by
// quote.go only, and never onto a terminal as they are.
package roles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
)

// Connect logs in as a tier with its credential and its settings, over which params go. The connection becomes the
// caller's. It must accept a superuser, which is for Doctor to report.
type Connect func(ctx context.Context, t *config.Tier, params map[string]string) (*pgconn.PgConn, error)

// parameters of every connection of this package. Names mean PostgreSQL's own objects; nothing is written; a login that
// somebody gave settings of its own (ALTER ROLE ... SET) is inspected without their help.
func parameters() map[string]string {
	return map[string]string{
		"search_path":                   "pg_catalog, pg_temp",
		"role":                          "none",
		"local_preload_libraries":       "",
		"default_transaction_read_only": "on",
		"client_encoding":               "UTF8",
		"DateStyle":                     "ISO",
		"TimeZone":                      "UTC",
		"statement_timeout":             "60s",
		"application_name":              "pgtier doctor",
	}
}

// Doctor examines the tiers of databases, all of them when databases is empty. Names are those of the configuration.
//
// A tier that cannot be logged in to is a finding. The error is about databases, or ctx.
func Doctor(ctx context.Context, cfg *config.Config, databases []string, connect Connect, now time.Time) (Findings, error) {
	for _, name := range databases {
		if cfg.Databases[name] == nil {
			return nil, fmt.Errorf("database %q is not in the configuration%s", name, suggestion(name, cfg))
		}
	}
	if len(databases) == 0 {
		databases = slices.Sorted(maps.Keys(cfg.Databases))
	}
	all := wantedOf(cfg, auth.NewPolicy(cfg), now)
	var out Findings
	for _, w := range all {
		if !slices.Contains(databases, w.tier.Database.Name) {
			continue
		}
		found, err := examine(ctx, w, connect, now)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out.once(), nil
}

// once leaves out what has been said about the whole server or database before.
func (f Findings) once() Findings {
	type said struct{ code, what string }
	seen := map[said]bool{}
	return slices.DeleteFunc(f, func(x Finding) bool {
		k := said{x.Code, x.What}
		again := seen[k] && (x.Code == "max-connections" || x.Code == "connection-limit")
		seen[k] = true
		return again
	})
}

func suggestion(name string, cfg *config.Config) string {
	if near := config.Closest(name, slices.Collect(maps.Keys(cfg.Databases))); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// patience is how long examining one tier may take: a server that hangs becomes a finding.
const patience = 3 * time.Minute

// examine reports on one tier.
func examine(ctx context.Context, w *wanted, connect Connect, now time.Time) (Findings, error) {
	if w.tier.LogsInAsRole() {
		return Findings{ownLogins(w)}, nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := connect(limited, w.tier, parameters())
	if err == nil {
		defer closeConn(conn)
		var a *actual
		if a, err = inspect(limited, conn); err == nil {
			return diff(w, a, now), nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return Findings{loginFailed(w, err)}, nil
}

// closeConn says goodbye also when the caller's context is done.
func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// sqlState is the SQLSTATE of a server's refusal, "" for other errors.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
