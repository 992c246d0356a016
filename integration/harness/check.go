package harness

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// patience is how long anything that must happen may take: much longer than it should, since machines are busy.
const patience = 30 * time.Second

// wait waits for the end of Serve; a drain that does not end is cut, and reported.
func (p *Proxy) wait() error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.served:
		return err
	case <-timer.C:
		p.t.Error("pgtier did not drain: a session does not end")
		close(p.hurry)
		return <-p.served
	}
}

// check looks at what a stopped pgtier leaves behind.
func (p *Proxy) check() {
	p.t.Helper()
	// Goroutines of a cluster that the test has restarted meanwhile are not pgtier's.
	if err := goleak.Find(p.ignored, goleak.IgnoreAnyFunction("github.com/pgtier/pgtier/integration/pgtest.(*Cluster).spawn.func1")); err != nil {
		p.t.Error(err)
	}
	if n := countSockets(p.t); n > p.sockets {
		p.t.Errorf("%d sockets are open, %d were before pgtier started", n, p.sockets)
	}
	if p.Cluster.Pid() != 0 {
		p.checkServer()
	}
	p.checkLog()
}

// checkServer waits until PostgreSQL has noticed that its clients are gone.
func (p *Proxy) checkServer() {
	p.t.Helper()
	const left = "SELECT string_agg(usename || ': ' || state || ' ' || query, '; ') FROM pg_stat_activity WHERE usename LIKE 'epmt-%'"
	var last string
	err := pgtest.Await(context.Background(), patience, "PostgreSQL has no connections of pgtier", func() (bool, error) {
		var err error
		last, err = p.Cluster.QueryText(context.Background(), pgtest.Superuser, left)
		return last == "", err
	})
	if err != nil {
		p.t.Errorf("%v (%s)", err, last)
	}
}

// checkLog looks for bugs and secrets in the log, and shows its end when the test has failed.
func (p *Proxy) checkLog() {
	p.t.Helper()
	secrets := slices.Collect(func(yield func(string) bool) {
		for _, i := range Identities {
			if !yield(i.Password()) || !yield(p.setup.verifiers[i.Name]) {
				return
			}
		}
		for _, a := range accounts(p.EPMT) {
			if !yield(a.Password) {
				return
			}
		}
	})
	var lines []string
	for _, e := range p.Logs.All() {
		line := fmt.Sprint(e.Level, " ", e.Message, " ", e.ContextMap())
		lines = append(lines, line)
		if e.Message == "bug in a session" || e.Message == "panic during login" {
			p.t.Errorf("%s", line)
		}
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				p.t.Errorf("a secret is in the log: %s", e.Message)
			}
		}
	}
	if p.t.Failed() {
		p.t.Logf("pgtier's log ends with:\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// countSockets counts the sockets of this process.
func countSockets(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		// A descriptor that has been closed since, such as that of the directory itself, is no socket.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// Eventually waits until what is so, for what the other side decides the time of.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	if err := pgtest.Await(context.Background(), patience, what, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatal(err)
	}
}
