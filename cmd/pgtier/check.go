package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/config"
)

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with the configuration",
		Long: `check reads the configuration, resolves its secrets (environment variables, files, commands) and prints every mistake
with its file, line and column. It needs no server and changes nothing.

Exit codes: 0 the configuration can be used; 78 it cannot.`,
		Example: `  pgtier check
  pgtier check --config /etc/pgtier/pgtier.toml`,
		Args: cobra.NoArgs,
	}
	flag := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*flag)
		if err != nil {
			return err
		}
		return summary(cmd.OutOrStdout(), cfg)
	}
	return cmd
}

// summary is one line that lets a person see that it was the right file.
func summary(w io.Writer, cfg *config.Config) error {
	tiers := 0
	for _, db := range cfg.Databases {
		tiers += len(db.Tiers)
	}
	_, err := fmt.Fprintf(w, "%s: ok: %s with %s, %s in %s, %s, %s\n", cfg.File,
		count(len(cfg.Databases), "database", "databases"), count(tiers, "tier", "tiers"),
		count(len(cfg.Identities), "identity", "identities"), count(len(cfg.Groups), "group", "groups"),
		count(len(cfg.Grants), "grant", "grants"), count(len(cfg.Denies), "deny", "denies"))
	return err
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
