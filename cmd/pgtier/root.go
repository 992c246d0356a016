package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/config"
)

// run executes the command line and returns the exit code. Output goes to stdout, errors to stderr.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var findings config.Findings
	switch {
	case err == nil, errors.Is(err, errRefused), errors.Is(err, errUnhealthy):
	case errors.As(err, &findings):
		// Each line begins with file:line:col, which editors and people jump to: nothing may stand before it.
		_, _ = fmt.Fprintln(stderr, findings)
	default:
		_, _ = fmt.Fprintln(stderr, "pgtier:", err)
	}
	return exitCode(err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pgtier",
		Short: "A role-aware, connection-pooling proxy for PostgreSQL",
		Long: `pgtier stands between PostgreSQL clients and servers. It authenticates clients, resolves each identity to the right
read-only, read-write or admin credential of a database, and shares server connections between sessions.

Clients get the least by default and ask for more in their DSN:

  postgresql://alice@proxy:6432/EPMT                                      the default tier
  postgresql://alice~rw@proxy:6432/EPMT                                   read-write
  postgresql://alice@proxy:6432/EPMT?options=-c%20pgtier.tier%3Drw        the same

Exit codes: 0 success; 1 failure or wrong arguments; 78 the configuration cannot be used.`,
		SilenceUsage:  true, // an error is one line; who wants the usage asks for it
		SilenceErrors: true, // run prints them
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	for _, newCommand := range commands {
		root.AddCommand(newCommand())
	}
	return root
}

// configFlag gives cmd the flag --config and returns where its value will be.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "",
		"configuration file (default $PGTIER_CONFIG, ./pgtier.toml or /etc/pgtier/pgtier.toml)")
}

// loadConfig finds and loads the configuration. Its errors lead to exitConfig.
func loadConfig(flag string) (*config.Config, error) {
	path, err := config.Find(flag, os.LookupEnv)
	if err != nil {
		return nil, configError{err}
	}
	cfg, findings := config.Load(path, os.LookupEnv)
	return cfg, findings.Err()
}
