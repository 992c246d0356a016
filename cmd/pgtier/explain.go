package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/auth"
)

func newExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain WHO[~TIER] DATABASE",
		Short: "Show what an identity gets on a database, and why",
		Long: `explain prints what would happen if WHO, authenticated, connected to DATABASE now: the identity and where it is written,
its groups, the rules that count, the decision with the file and line that made it, and the login, role, pool and limits of
the session. It uses the code that decides for real clients. It needs no server and shows no secrets. DATABASE may be pgtier, the
console.

Grants may depend on where the client comes from; --from says where. Without it, that is a Unix socket on this machine.

Exit codes: 0 access is allowed; 1 it is refused; 78 the configuration cannot be used.`,
		Example: `  pgtier explain alice EPMT
  pgtier explain alice~admin EPMT
  pgtier explain ops pgtier
  pgtier explain --from 10.20.1.5 migrate EPMT`,
		Args: cobra.ExactArgs(2),
	}
	flag := configFlag(cmd)
	from := cmd.Flags().String("from", "", "the client's IP address")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := optionalAddr(*from)
		if err != nil {
			return err
		}
		cfg, err := loadConfig(*flag)
		if err != nil {
			return err
		}
		e := auth.NewPolicy(cfg).Explain(args[0], args[1], addr, time.Now())
		if _, err := fmt.Fprint(cmd.OutOrStdout(), e); err != nil {
			return err
		}
		if e.Err != nil {
			return errRefused
		}
		return nil
	}
	return cmd
}

// optionalAddr is the zero Addr for "".
func optionalAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return addr, fmt.Errorf("--from %q is not an IP address", s)
	}
	return addr, nil
}
