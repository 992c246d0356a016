// Command pgtier is a role-aware, connection-pooling proxy for PostgreSQL.
//
// This package turns arguments, environment and signals into calls: one file per subcommand, each with a function
// newXxxCommand that commands.go lists. It decides nothing about clients or servers. The only os.Exit is in main.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
