// Command bench compares pgtier with PgBouncer, and with no proxy at all, on this machine: `make bench`.
//
// It starts one PostgreSQL cluster and both proxies side by side, all on 127.0.0.1, with pools of the same size, the same
// account and the same SCRAM verifier. Each round runs pgbench -S on each of them, in an order that is reversed on odd
// rounds, so that what else happens on the machine hits all alike; every ratio is taken within a round, and the median of
// the rounds is what is printed. Then it opens many idle clients on fresh proxies and looks at their memory.
//
// It measures; it asserts nothing. Numbers of different machines, or of different runs, do not compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds, seconds, poolSize, scale, idle, crowd int
	clients                                       []int
	modes, targets                                []string
	pgtier, pgbouncer, out                        string
}

func init() {
	// The proxies are told to die with the thread that starts them (PR_SET_PDEATHSIG): that must be one that lives as long
	// as the process, so main stays on the main thread and starts them itself.
	runtime.LockOSThread()
}

func main() {
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (options, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	o := options{}
	quick := fs.Bool("quick", false, "one short round, to see that everything works; the numbers mean nothing")
	fs.IntVar(&o.rounds, "rounds", 5, "how often everything is run")
	fs.IntVar(&o.seconds, "seconds", 8, "how long each run of pgbench takes")
	clients := fs.String("clients", "8,64,512", "numbers of clients")
	modes := fs.String("modes", "simple,extended,prepared", "query modes of pgbench")
	targets := fs.String("targets", "direct,pgbouncer,pgtier", "what to compare")
	fs.IntVar(&o.poolSize, "pool", 20, "server connections of each proxy")
	fs.IntVar(&o.scale, "scale", 10, "pgbench's scale: 100,000 rows each")
	fs.IntVar(&o.idle, "idle", 2000, "idle clients when memory is measured; 0: do not measure it")
	fs.IntVar(&o.crowd, "crowd", 1000, "people with a role of their own on -pool connections; 0: do not measure it")
	fs.StringVar(&o.pgtier, "pgtier", "bin/pgtier", "the program that is measured")
	fs.StringVar(&o.pgbouncer, "pgbouncer", "", "PgBouncer's program (default: found)")
	fs.StringVar(&o.out, "o", "", "file to write the tables to, for example docs/benchmarks.md")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		o.rounds, o.seconds, o.idle = 1, 2, min(o.idle, 200)
	}
	o.modes, o.targets = strings.Split(*modes, ","), strings.Split(*targets, ",")
	for _, s := range strings.Split(*clients, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-clients: %q is no number of clients", s)
		}
		o.clients = append(o.clients, n)
	}
	if o.rounds < 1 || o.seconds < 1 || o.scale < 1 || o.poolSize < 1 {
		return o, errors.New("-rounds, -seconds, -scale and -pool must be at least 1")
	}
	return o, nil
}

func run(ctx context.Context, o options) (err error) {
	lab, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	targets, err := lab.startTargets(ctx)
	if err != nil {
		return err
	}
	r := &report{conditions: lab.conditions(ctx, targets), options: o}
	r.loads, err = measureLoads(ctx, lab, targets)
	if err = errors.Join(err, stopAll(targets)); err != nil {
		return err
	}
	if o.idle > 0 {
		if r.memory, err = measureMemory(ctx, lab); err != nil {
			return err
		}
	}
	if o.crowd > 0 {
		if r.crowd, err = lab.measureCrowd(ctx); err != nil {
			return err
		}
	}
	fmt.Println(r)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(r.String()), 0o644)
}

// measureLoads runs every combination in every round.
func measureLoads(ctx context.Context, lab *lab, targets []*target) ([]load, error) {
	var loads []load
	for _, mode := range lab.options.modes {
		for _, clients := range lab.options.clients {
			l := load{mode: mode, clients: clients, runs: map[string][]result{}, failed: map[string]string{}}
			for round := range lab.options.rounds {
				order := slices.Clone(targets)
				if round%2 == 1 {
					slices.Reverse(order)
				}
				for _, t := range order {
					lab.runOne(ctx, &l, t)
					if ctx.Err() != nil {
						return nil, ctx.Err()
					}
				}
			}
			loads = append(loads, l)
		}
	}
	return loads, nil
}

// runOne runs pgbench once and notes what came of it. What has failed in one round is not tried in the next: a ratio
// needs all rounds.
func (b *lab) runOne(ctx context.Context, l *load, t *target) {
	if l.failed[t.name] != "" {
		return
	}
	if why := t.cannot(l.mode, l.clients); why != "" {
		l.failed[t.name] = why
		return
	}
	r, err := b.pgbench(ctx, t, l.mode, l.clients)
	if err != nil {
		l.failed[t.name] = err.Error()
		fmt.Fprintf(os.Stderr, "%-8s %4d clients  %-9s  %v\n", l.mode, l.clients, t.name, err)
		return
	}
	l.runs[t.name] = append(l.runs[t.name], r)
	fmt.Fprintf(os.Stderr, "%-8s %4d clients  %-9s  %8.0f tps  %6.1f us CPU  p99 %s\n",
		l.mode, l.clients, t.name, r.tps, r.cpu, r.p99.Round(time.Microsecond))
}
