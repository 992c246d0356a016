package main

import "github.com/spf13/cobra"

// commands are the subcommands, in the order in which the help shows them.
var commands = []func() *cobra.Command{
	newServeCommand,
	newDemoCommand,
	newCheckCommand,
	newExplainCommand,
	newDoctorCommand,
	newHardenCommand,
	newHashPasswordCommand,
	newVersionCommand,
}
