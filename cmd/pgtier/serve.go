package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long: `serve reads the configuration, listens, and relays until it is told to stop.

SIGTERM or SIGINT: finish running transactions, refuse new clients with 57P03, then stop. A second signal ends
everything at once; so does the configured timeouts.shutdown.

SIGHUP: read the configuration again. Everything but [listen] and [relay] takes effect at once; sessions that lose access
are ended; a file with mistakes changes nothing.

The log goes to standard error: one line for each session that ends, with who had which tier and role, and why it ended.

Exit codes: 0 stopped as asked, every transaction finished; 1 something failed, or sessions were cut short;
78 the configuration cannot be used.`,
		Example: `  pgtier serve
  pgtier serve --config /etc/pgtier/pgtier.toml`,
		Args: cobra.NoArgs,
	}
	flag := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*flag)
		if err != nil {
			return err
		}
		return serveReloading(cmd.Context(), cfg, func() (*config.Config, error) { return loadConfig(*flag) }, func([]string) {})
	}
	return cmd
}

// serveConfig runs the proxy until ctx ends or a signal asks it to stop. ready is called with the addresses once it listens.
func serveConfig(ctx context.Context, cfg *config.Config, ready func(addrs []string)) error {
	return serveReloading(ctx, cfg, nil, ready)
}

// serveReloading is serveConfig that also takes SIGHUP, for which load reads the configuration again; nil: there is none.
func serveReloading(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), ready func(addrs []string)) error {
	log, flush, err := newLogger(cfg.Log)
	if err != nil {
		return err
	}
	defer flush()
	srv, err := proxy.Listen(cfg, log)
	if err != nil {
		return err
	}
	ctx, hurry, stop := stopSignals(ctx)
	defer stop()
	var addrs []string
	for _, a := range srv.Addrs() {
		addrs = append(addrs, a.String())
	}
	if load != nil {
		srv.SetSource(load)
		defer onHangup(func() { _ = srv.ReloadSource() })() // what is wrong is in the log
	}
	ready(addrs)
	return srv.Serve(ctx, hurry)
}

// onHangup calls fn at each SIGHUP, one at a time, until stop is called.
func onHangup(fn func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range signals {
			fn()
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		wg.Wait()
	}
}

// stopSignals returns a context that the first SIGTERM or SIGINT ends, and a channel that the second one closes.
func stopSignals(parent context.Context) (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	second := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		for _, act := range []func(){cancel, func() { close(second) }} {
			select {
			case <-signals:
				act()
			case <-done:
				return
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// newLogger returns the daemon's log and a function that writes out what is buffered.
func newLogger(c config.Log) (*zap.Logger, func(), error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, nil, errors.New("log.level: " + err.Error())
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	// The loops log: they must not wait for a slow terminal or disk.
	// Standard error is written, never synced: a log that is a file would cost an fsync at each flush.
	out := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{os.Stderr}), FlushInterval: 200 * time.Millisecond}
	log := zap.New(zapcore.NewCore(encoder, out, level))
	return log, func() { _ = out.Stop() }, nil
}
