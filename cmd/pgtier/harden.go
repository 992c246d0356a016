package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/config"
)

// hardenFlags is how harden was called.
type hardenFlags struct {
	config, urlEnv, urlFile string
	apply, undo             bool
	keep                    []string
	version                 int
}

func newHardenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "harden DATABASE",
		Short: "Take from PUBLIC what would let SQL get behind a guard",
		Long: `harden prints the SQL that takes from PUBLIC, in one database, what a client of a guarded tier could use to get behind the
guard: functions that change settings or run text, languages, temporary objects, and what lets one session trouble others.
The admin tier's login and role keep it, and so does every --keep ROLE: those that migrations, pg_dump and the like run as.
--undo prints the opposite, which gives PUBLIC PostgreSQL's defaults.

With --apply it does that itself, in one transaction and only where it is not so already, and prints what it did. The
database remembers what was taken away, in its setting pgtier.hardened, and --apply --undo gives back exactly that.
--apply needs the URL of a superuser, from an environment variable or a file; its host decides where, DATABASE which.

Exit codes: 0 done; 1 failed, and nothing was changed; 78 the configuration cannot be used.`,
		Example: `  pgtier harden EPMT --server-version 15 | less
  PGTIER_ADMIN_URL=postgresql://postgres@/ pgtier harden EPMT --apply
  pgtier harden EPMT --apply --undo --admin-url-file /run/secrets/postgres-url`,
		Args: oneDatabase,
	}
	var f hardenFlags
	flag := configFlag(cmd)
	cmd.Flags().BoolVar(&f.undo, "undo", false, "give back what hardening takes away")
	cmd.Flags().BoolVar(&f.apply, "apply", false, "do it, as the superuser of the admin URL")
	cmd.Flags().StringVar(&f.urlEnv, "admin-url-env", "PGTIER_ADMIN_URL", "environment variable with the admin URL")
	cmd.Flags().StringVar(&f.urlFile, "admin-url-file", "", "file with the admin URL")
	cmd.Flags().StringArrayVar(&f.keep, "keep", nil, "role that keeps what PUBLIC loses; may be repeated")
	cmd.Flags().IntVar(&f.version, "server-version", 0, "major version to print for (default: ask the server)")
	cmd.MarkFlagsMutuallyExclusive("apply", "server-version")
	cmd.MarkFlagsMutuallyExclusive("admin-url-env", "admin-url-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.config = *flag
		return harden(cmd, f, args[0])
	}
	return cmd
}

// oneDatabase refuses an admin URL as an argument, without repeating it: there is a password in it.
func oneDatabase(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if strings.Contains(arg, "://") {
			return errors.New("an admin URL does not belong on the command line, where everybody can see it; use --admin-url-env or --admin-url-file")
		}
	}
	return cobra.ExactArgs(1)(cmd, args)
}

func harden(cmd *cobra.Command, f hardenFlags, database string) error {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	db := cfg.Databases[database]
	if db == nil {
		return fmt.Errorf("database %q is not in the configuration", database)
	}
	h := roles.HardeningOf(db, f.keep)
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if !f.apply {
		switch {
		case cmd.Flags().Changed("server-version") && f.version < roles.OldestServer:
			return fmt.Errorf("--server-version %d: pgtier knows %d and later", f.version, roles.OldestServer)
		case f.version == 0:
			if f.version, err = majorVersion(ctx, db); err != nil {
				return err
			}
		}
		return h.WriteScript(cmd.OutOrStdout(), f.version, f.undo)
	}
	conn, err := connectAdmin(ctx, f, h.Database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if f.undo {
		return h.Undo(ctx, conn, cmd.OutOrStdout())
	}
	return h.Apply(ctx, conn, cmd.OutOrStdout())
}

// majorVersion asks the server of a database, as any tier that works.
func majorVersion(ctx context.Context, db *config.Database) (int, error) {
	var failed error
	for _, name := range config.Tiers() {
		t := db.Tiers[name]
		if t == nil {
			continue
		}
		conn, err := connectTier(ctx, t, nil)
		if err != nil {
			failed = err
			continue
		}
		_ = conn.Close(ctx)
		// "15.20 (Debian ...)", "18beta1"
		version := conn.ParameterStatus("server_version")
		if end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); end > 0 {
			version = version[:end]
		}
		return strconv.Atoi(version)
	}
	return 0, fmt.Errorf("cannot ask the server which version it is (say so with --server-version): %w", failed)
}

// connectAdmin connects the administrator to a database. The URL is a secret: errors do not repeat it.
func connectAdmin(ctx context.Context, f hardenFlags, database string) (*pgconn.PgConn, error) {
	url, from := os.Getenv(f.urlEnv), "environment variable "+f.urlEnv
	if f.urlFile != "" {
		b, err := os.ReadFile(f.urlFile)
		if err != nil {
			return nil, err
		}
		url, from = string(b), "file "+f.urlFile
	}
	url = strings.TrimSpace(url)
	if url == "" {
		return nil, fmt.Errorf("--apply needs the URL of a superuser; %s is empty or not set", from)
	}
	cfg, err := pgconn.ParseConfig(url)
	if err != nil || !strings.Contains(url, "://") {
		return nil, fmt.Errorf("%s: not a PostgreSQL URL; value not shown", from)
	}
	cfg.Database = database
	cfg.RuntimeParams["application_name"] = "pgtier harden"
	cfg.RuntimeParams["standard_conforming_strings"] = "on"
	return pgconn.ConnectConfig(ctx, cfg)
}
