package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestPgbench: more clients than connections, in each of pgbench's protocols, reading and writing.
func TestPgbench(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 3", "rw": "size = 3"}}).Endpoint
	tables := "DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers"
	r := run(t, p.Cluster, "pgbench", "-i", "-q", "-s", "1", p.DSN("migrate"))
	if r.err != nil {
		t.Fatal(r.err, r.stderr)
	}
	defer func() { psql(t, p, p.DSN("migrate"), tables).want(t, "") }()
	for _, protocol := range []string{"simple", "extended", "prepared"} {
		t.Run("read "+protocol, func(t *testing.T) {
			bench(t, p, p.DSN("alice"), 200, "-S", "-M", protocol)
		})
		t.Run("write "+protocol, func(t *testing.T) {
			bench(t, p, p.DSN("ingest"), 40, "-N", "-M", protocol)
		})
	}
	t.Run("reconnecting", func(t *testing.T) {
		bench(t, p, p.DSN("alice"), 5, "-S", "-C")
	})
	// 3 runs of 20 clients with 40 transactions: each wrote one line.
	psql(t, p, p.DSN("alice"), "SELECT count(*) FROM pgbench_history").want(t, "2400")
	for _, tier := range []string{"ro", "rw"} {
		if n := p.ServerSessions(t, tier); n > 3 {
			t.Errorf("%d server connections for %s, at most 3 were allowed", n, tier)
		}
	}
}

var processed = regexp.MustCompile(`number of transactions actually processed: (\d+)/(\d+)`)

func bench(t *testing.T, p *harness.Endpoint, dsn string, transactions int, args ...string) {
	t.Helper()
	// A thread for each client: pgbench prepares with a blocking call, and would wait for a server that another client of the
	// same thread has in its transaction.
	args = append([]string{"-n", "-c", "20", "-j", "20", "-t", strconv.Itoa(transactions)}, append(args, dsn)...)
	r := run(t, p.Cluster, "pgbench", args...)
	m := processed.FindStringSubmatch(r.stdout)
	if r.err != nil || m == nil || m[1] != m[2] || strings.Contains(r.stderr, "error") || strings.Contains(r.stderr, "abort") {
		t.Errorf("pgbench %q: %v\n%s\n%s", args[:len(args)-1], r.err, r.stdout, r.stderr)
	}
}
