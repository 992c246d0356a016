package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/integration/pgtest"
)

type demoFlags struct {
	listen, pgBin, dataDir string
	keep                   bool
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a throw-away PostgreSQL with tiers behind one address",
		Long: `demo makes a PostgreSQL cluster in a temporary directory, with the database EPMT and the accounts epmt-ro, epmt-rw and
epmt-admin, puts pgtier in front of it, and prints commands to try. It needs PostgreSQL's server programs (the package postgresql),
which it looks for in --pg-bin, $PGTIER_PG_BIN, $PATH and where distributions put them.

Everything is gone when it ends. The passwords are well known: this is for trying pgtier, not for using it.`,
		Example: `  pgtier demo
  pgtier demo --listen 127.0.0.1:7432`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:6432", "address that pgtier listens on")
	cmd.Flags().StringVar(&f.pgBin, "pg-bin", "", "directory of the PostgreSQL server's programs (default: found)")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "new or empty directory for the cluster (default: a temporary one)")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "leave the directory when the demo ends")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		return runDemo(ctx, f, cmd.OutOrStdout())
	}
	return cmd
}

// runDemo starts the cluster, then pgtier in this process, and takes both down when ctx ends or a signal comes.
func runDemo(ctx context.Context, f demoFlags, stdout io.Writer) (err error) {
	// Once pgtier runs, serveConfig listens for the same signals and drains.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := canListen(f.listen); err != nil {
		return err
	}
	cluster, err := startDemoCluster(ctx, f)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted: that is no failure, and nothing is left
		}
		return err
	}
	defer func() { err = errors.Join(err, endDemoCluster(cluster, f.keep)) }()
	epmt, err := cluster.CreateEPMT(ctx)
	if err != nil {
		return err
	}
	file, err := writeDemoConfig(cluster, epmt, f.listen)
	if err != nil {
		return err
	}
	// No environment: an EPMT_DB_URL that points at this demo must not become its own server.
	cfg, findings := config.Load(file, func(string) (string, bool) { return "", false })
	if err := findings.Err(); err != nil {
		return err
	}
	screen := demoScreen{Version: cluster.Binaries.Version, Dir: cluster.Dir, File: file, Keep: f.keep, Identities: demoIdentities}
	screen.Psql = findPsql(cluster.Binaries)
	var screenErr error
	err = serveConfig(ctx, cfg, func(addrs []string) {
		screen.Address = reachable(addrs[0])
		screenErr = screen.print(stdout)
	})
	return errors.Join(err, screenErr)
}

func startDemoCluster(ctx context.Context, f demoFlags) (*pgtest.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return pgtest.Start(ctx, pgtest.Options{BinDir: f.pgBin, Dir: f.dataDir, Keep: f.keep})
}

// endDemoCluster takes the cluster down; one that stays is stopped in good order first.
func endDemoCluster(c *pgtest.Cluster, keep bool) error {
	if !keep {
		return c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(c.Stop(ctx), c.Close())
}

// canListen finds out before a cluster is started what would be said after it.
func canListen(address string) error {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use; choose another address, for example --listen 127.0.0.1:7432", address)
	}
	if err != nil {
		return fmt.Errorf("--listen %s: %w", address, err)
	}
	return l.Close()
}

// reachable turns an address to listen on into one to connect to.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// findPsql returns how to call psql from a shell; where there is none, its bare name still shows what is meant.
func findPsql(b pgtest.Binaries) string {
	if _, err := exec.LookPath("psql"); err == nil {
		return "psql"
	}
	if path, err := b.Tool("psql"); err == nil {
		return path
	}
	return "psql"
}

// demoScreen is what demo_screen.tmpl is filled with.
type demoScreen struct {
	Address, Version, Dir, File, Psql string
	Keep                              bool
	Identities                        []demoIdentity
}

//go:embed demo_screen.tmpl
var demoScreenText string

func (s demoScreen) print(w io.Writer) error {
	funcs := template.FuncMap{
		"url":     func(user string) string { return demoURL(user, s.Address, "EPMT") },
		"console": func(user string) string { return demoURL(user, s.Address, "pgtier") },
		"join":    func(tiers []string) string { return strings.Join(tiers, ", ") },
	}
	t, err := template.New("screen").Funcs(funcs).Parse(demoScreenText)
	if err != nil {
		return err
	}
	return t.Execute(w, s)
}

// demoURL is how an identity connects to a database, with or without ~tier.
func demoURL(user, address, database string) string {
	name, _, _ := strings.Cut(user, "~")
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(user, demoIdentity{Name: name}.Password()), Host: address, Path: "/" + database,
	}
	return u.String()
}
