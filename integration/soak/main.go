// Command soak runs hundreds of clients through a pgtier with few server connections for minutes, breaks things on the way,
// and looks at whether every client got its own answers: `make soak`.
//
// Each request carries the client's number and a sequence number, and its answer must carry them too, so that an answer that
// went to somebody else, came twice, or came from a session in another state is seen for what it is. A request may fail only
// for a reason that the soak itself has given: a client that was cut off, a server that was killed.
//
//	warm up    all clients work for a while and leave; what pgtier then holds is what it may hold at the end
//	calm       clients are cut off at random, nothing else: nobody else may notice, and servers are to be kept
//	storm      servers are killed, requests cancelled, PostgreSQL is restarted, PostgreSQL crashes
//	still      all clients leave: descriptors and memory are what they were, pgtier has noticed no bug in itself
//
// It exits with 1 when anything was not as it should be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	duration time.Duration
	clients  int           // in transaction mode
	servers  int           // that they share
	sessions int           // clients in session mode, each with a server
	pace     time.Duration // between two requests of a client, on average
	seed     uint64
	pgtier   string
}

func init() {
	// pgtier is told to die with the thread that starts it (PR_SET_PDEATHSIG): see package bench.
	runtime.LockOSThread()
}

func main() {
	o := options{}
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long clients work, roughly")
	flag.IntVar(&o.clients, "clients", 512, "clients in transaction mode")
	flag.IntVar(&o.servers, "servers", 20, "server connections that they share")
	flag.IntVar(&o.sessions, "sessions", 4, "clients in session mode")
	flag.DurationVar(&o.pace, "pace", 50*time.Millisecond, "pause between two requests of a client, on average")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of everything that is random")
	flag.StringVar(&o.pgtier, "pgtier", "bin/pgtier", "the program that is tested")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, o)
	stop()
	fmt.Println(r)
	if err == nil {
		err = r.verdict()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run is a soak from its beginning to its end.
func run(ctx context.Context, o options) (r *report, err error) {
	r = newReport(o)
	l, err := newLab(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for _, phase := range []func(context.Context, *lab, *report) error{warmUp, calm, storm, still} {
		if err := phase(ctx, l, r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// warmUp lets pgtier grow to its size.
func warmUp(ctx context.Context, l *lab, r *report) error {
	crowd := newCrowd(l, r)
	crowd.start()
	pause(ctx, l.duration/10)
	if err := crowd.stop(); err != nil {
		return err
	}
	var err error
	r.before, err = l.measure(ctx)
	return err
}

// calm cuts clients off and watches that servers are kept.
func calm(ctx context.Context, l *lab, r *report) error {
	crowd := newCrowd(l, r)
	crowd.start()
	pause(ctx, l.duration/20) // everybody is connected, and pools have their size
	opened := l.serverLogins()
	r.calmKills = crowd.cutOff(ctx, l.duration*4/10)
	r.calmLogins = l.serverLogins() - opened
	return crowd.stop()
}

// storm breaks servers too.
func storm(ctx context.Context, l *lab, r *report) error {
	crowd := newCrowd(l, r)
	crowd.stormy.Store(true)
	crowd.start()
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, l.duration*4/10)
	defer cancel()
	go func() { done <- l.havoc(ctx, r) }()
	r.stormKills = crowd.cutOff(ctx, l.duration*4/10)
	err := <-done
	return errors.Join(err, crowd.stop())
}

// still looks at what is left.
func still(ctx context.Context, l *lab, r *report) error {
	var err error
	if r.after, err = l.measure(ctx); err != nil {
		return err
	}
	r.goroutines, r.log, err = l.quit()
	return err
}

// pause lets the clients work.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
