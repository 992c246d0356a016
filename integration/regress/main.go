// Command regress runs PostgreSQL's own regression suite directly and through pgtier, each time on a fresh cluster, and
// compares what psql printed, test by test. integration/scripts/run-regress.sh prepares what it needs and calls it.
//
// What counts is not the suite's verdict but whether pgtier makes a difference: a test that prints the same through pgtier
// as without is fine, whether PostgreSQL's authors would call it passed or not. The direct run is done twice, because some
// tests do not print the same twice; those are named and not counted against pgtier.
//
// Nothing of PostgreSQL's sources is part of this repository: the path of a source tree is an argument.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// options are the command line.
type options struct {
	suite    string // src/test/regress of a source tree
	lib      string // holds regress.so, refint.so and autoinc.so
	pgtier   string
	out      string // gets the results of every run; they stay
	schedule string
	runs     []string
}

func init() {
	// pgtier is told to die with the thread that starts it (PR_SET_PDEATHSIG): see package bench.
	runtime.LockOSThread()
}

func main() {
	o := options{}
	runs := "direct,again,session,transaction"
	flag.StringVar(&o.suite, "suite", "", "the directory src/test/regress of PostgreSQL's source tree")
	flag.StringVar(&o.lib, "lib", "", "the directory of regress.so, refint.so and autoinc.so")
	flag.StringVar(&o.pgtier, "pgtier", "bin/pgtier", "the program that is tested")
	flag.StringVar(&o.out, "out", "", "directory for what the tests print and its differences")
	flag.StringVar(&o.schedule, "schedule", "parallel_schedule", "the tests and their order")
	flag.StringVar(&runs, "runs", runs, "what to run: direct, again (direct once more), session, reuse (session, and servers are lent again), transaction")
	flag.Parse()
	o.runs = strings.Split(runs, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	different, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "regress:", err)
		os.Exit(1)
	}
	if different {
		os.Exit(1)
	}
}

// run runs the suite as often as asked and prints a comparison. different tells whether pgtier made one.
func run(ctx context.Context, o options) (different bool, err error) {
	bin, err := pgtest.FindBinaries(ctx, "", 0)
	if err != nil {
		return false, err
	}
	for _, path := range []*string{&o.suite, &o.lib, &o.pgtier, &o.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return false, err
		}
	}
	for _, name := range o.runs {
		fmt.Printf("== %s: PostgreSQL %s\n", name, bin.Version)
		if err := runSuite(ctx, o, name); err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
	}
	return compare(o)
}
