package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/proxy"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print which pgtier this is",
		Example: "  pgtier version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), proxy.Version())
			return err
		},
	}
}
