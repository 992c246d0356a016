package harness

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy"
)

// Proxy is a pgtier in the test's own process.
type Proxy struct {
	*Endpoint
	Logs *observer.ObservedLogs

	t       testing.TB
	setup   *setup
	stop    context.CancelFunc
	hurry   chan struct{}
	served  chan error
	once    sync.Once
	sockets int           // of this process before it started
	ignored goleak.Option // goroutines that ran before it started
}

// Start runs a pgtier until the end of the test.
func Start(t testing.TB, o Options) *Proxy {
	t.Helper()
	s := newSetup(t, o)
	cfg, findings := config.LoadBytes(s.file, []byte(s.text), s.lookup)
	if len(findings) > 0 {
		t.Fatalf("the harness wrote a configuration with mistakes: %v\n%s", findings, s.text)
	}
	core, logs := observer.New(zap.InfoLevel)
	p := &Proxy{
		Endpoint: s.endpoint, Logs: logs, t: t, setup: s, hurry: make(chan struct{}), served: make(chan error, 1),
		sockets: countSockets(t), ignored: goleak.IgnoreCurrent(),
	}
	srv, err := proxy.Listen(cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.served <- srv.Serve(ctx, p.hurry) }()
	t.Cleanup(p.Stop)
	return p
}

// Verifier is the SCRAM verifier that the configuration has of one of Identities.
func (p *Proxy) Verifier(identity string) string { return p.setup.verifiers[identity] }

// Drain asks it to stop, as the first signal would, and does not wait.
func (p *Proxy) Drain() { p.stop() }

// Cut ends what Drain waits for, as the second signal would, and looks at what is left. That sessions were cut is no
// failure then.
func (p *Proxy) Cut() {
	p.t.Helper()
	p.once.Do(func() {
		p.stop()
		close(p.hurry)
		if err := <-p.served; err != nil && !errors.Is(err, proxy.ErrCut) {
			p.t.Errorf("Serve: %v", err)
		}
		p.check()
	})
}

// Stop drains it, waits for its end, and looks at what is left. The test's connections must have been closed or be outside
// transactions. Called again, it does nothing.
func (p *Proxy) Stop() {
	p.t.Helper()
	p.once.Do(func() {
		p.stop()
		if err := p.wait(); err != nil {
			p.t.Errorf("Serve: %v", err)
		}
		p.check()
	})
}
