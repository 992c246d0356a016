package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool/server"
)

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [DATABASE...]",
		Short: "Look for holes in the wall between tiers, on the servers",
		Long: `doctor logs in as each tier of the databases, all of them by default, and reads PostgreSQL's catalogs: roles, memberships,
grants, default privileges, settings, limits. It reports what breaks the wall between tiers and what will not work, each
with the reason and the SQL that mends it. It changes nothing.

An error breaks the wall or keeps sessions from working, a warning is a smaller hole or trouble to come, a note needs no
action. --json prints an array of objects instead; the codes in it are stable.

Exit codes: 0 neither errors nor warnings; 1 there are some; 78 the configuration cannot be used.`,
		Example: `  pgtier doctor
  pgtier doctor --json EPMT | jq -r '.[].fix[]?'`,
	}
	flag := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print a JSON array")
	cmd.RunE = func(cmd *cobra.Command, databases []string) error {
		cfg, err := loadConfig(*flag)
		if err != nil {
			return err
		}
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		findings, err := roles.Doctor(ctx, cfg, databases, connectTier, time.Now())
		if err != nil {
			return err
		}
		if *asJSON {
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)                                // it is SQL
			err = encoder.Encode(append(roles.Findings{}, findings...)) // [], not null
		} else {
			err = findings.WriteText(cmd.OutOrStdout())
		}
		if err == nil && findings.Bad() {
			err = errUnhealthy
		}
		return err
	}
	return cmd
}

// interruptible returns a context that Ctrl-C ends.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// connectTier logs in as pgtier would for a session of the tier. params go over the tier's settings.
func connectTier(ctx context.Context, t *config.Tier, params map[string]string) (*pgconn.PgConn, error) {
	all := make(map[string]string, len(t.Settings)+len(params))
	maps.Copy(all, t.Settings)
	maps.Copy(all, params)
	c, err := server.Connect(ctx, server.Target{
		Hosts: t.Hosts, Port: t.Port, Database: t.DBName, Login: t.Login, Passwords: t.Passwords,
		SSLMode: t.SSLMode, SSLRootCert: t.SSLRootCert, SSLCert: t.SSLCert, SSLKey: t.SSLKey,
		Params: all, ConnectTimeout: t.Timeouts.ServerConnect, AcceptSuperuser: true,
	})
	if err != nil {
		return nil, err
	}
	return adopt(c)
}

// adopt makes of a connection that was logged in for a loop one that can be asked.
func adopt(c *server.Conn) (*pgconn.PgConn, error) {
	conn := net.Conn(c.Net)
	if c.TLS != nil {
		conn = c.TLS
	}
	return pgconn.Construct(&pgconn.HijackedConn{
		Conn: conn, PID: c.PID, ParameterStatuses: c.Params, TxStatus: 'I',
		Config: &pgconn.Config{
			BuildFrontend: pgproto3.NewFrontend,
			BuildContextWatcherHandler: func(pg *pgconn.PgConn) ctxwatch.Handler {
				return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
			},
			// Called to cancel a query when it is given up: the connection's end does that too.
			DialFunc: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("not dialling again")
			},
		},
	})
}
