package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// report is what a soak has seen. The counters are shared by all clients.
type report struct {
	options
	began time.Time

	requests, logins, cancels, notified atomic.Int64
	serverKills, restarts               atomic.Int64

	calmKills, stormKills int
	calmLogins            int // server connections that pgtier opened while only clients were cut off

	before, after holding
	goroutines    int
	log           string // pgtier's

	mu     sync.Mutex
	ended  map[string]int // why requests failed that were allowed to
	wrong  int
	faults []string // what was wrong, the first of them
}

func newReport(o options) *report {
	return &report{options: o, began: time.Now(), ended: make(map[string]int)}
}

// fault notes something that must not happen.
func (r *report) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const shown = 20
	if r.wrong++; len(r.faults) < shown {
		r.faults = append(r.faults, fmt.Sprintf("%6.1fs ", time.Since(r.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

// excused notes a request that failed for a reason that the soak has given.
func (r *report) excused(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[why]++
}

// What a run may leave behind, beyond what it had after the warm up: memory that the garbage collector holds back is no
// leak, one that grows with the number of requests or of connections is.
const (
	maxGrowth     = 32 << 20 // bytes
	maxGoroutines = 50
	maxReconnects = 20 // server connections opened for 1,000 clients cut off
)

// verdict is nil when everything was as it should be.
func (r *report) verdict() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(r.wrong == 0, "%d faults", r.wrong)
	check(r.requests.Load() > 0, "no request was made")
	check(r.after.rss <= r.before.rss+maxGrowth, "memory grew from %d to %d MiB", r.before.rss>>20, r.after.rss>>20)
	const hub = 1 // the connection that listens for the whole pool
	check(r.after.servers <= r.servers+r.sessions+hub, "%d server connections, %d are allowed", r.after.servers, r.servers+r.sessions+hub)
	check(r.goroutines > 0 && r.goroutines <= maxGoroutines, "%d goroutines at the end, %d are allowed", r.goroutines, maxGoroutines)
	check(r.reconnects() <= maxReconnects, "%.1f server connections for 1,000 clients cut off, %d are allowed", r.reconnects(), maxReconnects)
	for _, bug := range []string{"bug in a session", "panic", "DATA RACE", "own_statement_failed", "server_protocol_error"} {
		n := strings.Count(r.log, bug)
		check(n == 0, "pgtier's log says %q %d times:\n%s", bug, n, around(r.log, bug))
	}
	return errors.Join(errs...)
}

// around is the log from the first line with the text on.
func around(log, text string) string {
	const most = 6000
	at := max(0, strings.Index(log, text))
	at = strings.LastIndexByte(log[:at], '\n') + 1
	return log[at:min(len(log), at+most)]
}

// reconnects is how many server connections pgtier opened for 1,000 clients that were cut off.
func (r *report) reconnects() float64 {
	return 1000 * float64(r.calmLogins) / float64(max(1, r.calmKills))
}

// String is the summary.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("conditions", "%d clients on %d servers, %d in session mode, seed %d, %v", r.clients, r.servers, r.sessions, r.seed,
		time.Since(r.began).Round(time.Second))
	line("requests", "%d, %d logins, %d cancel requests, %d notifications", r.requests.Load(), r.logins.Load(), r.cancels.Load(), r.notified.Load())
	line("clients cut off", "%d calm, %d in the storm", r.calmKills, r.stormKills)
	line("server reconnects", "%d for %d clients cut off (%.1f for 1,000)", r.calmLogins, r.calmKills, r.reconnects())
	line("servers killed", "%d; PostgreSQL restarted or crashed %d times", r.serverKills.Load(), r.restarts.Load())
	line("memory", "%d MiB after warming up, %d at the end", r.before.rss>>20, r.after.rss>>20)
	line("server connections", "%d after warming up, %d at the end", r.before.servers, r.after.servers)
	line("client sockets", "%d after warming up, %d at the end", r.before.clients, r.after.clients)
	line("goroutines", "%d at the end", r.goroutines)
	for _, why := range slices.Sorted(maps.Keys(r.ended)) {
		line("requests that failed", "%d: %s", r.ended[why], why)
	}
	line("faults", "%d", r.wrong)
	for _, f := range r.faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return b.String()
}
