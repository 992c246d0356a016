// Package testpg gives tests PostgreSQL clusters of their own. It adds to package pgtest what needs the testing package:
// cleaning up with the test, the server's log beside a failure, skipping where there is no PostgreSQL.
package testpg

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// EnvRequire makes a missing PostgreSQL a failure and not a reason to skip. `make test` sets it.
const EnvRequire = "PGTIER_REQUIRE_PG"

// startTimeout bounds initdb and the first start, generously: the machine may be busy with other tests.
const startTimeout = 2 * time.Minute

// Start starts a cluster that ends with the test.
func Start(t testing.TB, o pgtest.Options) *pgtest.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL; -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := pgtest.Start(ctx, o)
	handle(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log ends with:\n%s", tail(c.Log()))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// StartEPMT is Start with the database EPMT in it.
func StartEPMT(t testing.TB, o pgtest.Options) (*pgtest.Cluster, *pgtest.EPMT) {
	t.Helper()
	c := Start(t, o)
	e, err := c.CreateEPMT(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

var shared struct {
	once    sync.Once
	cluster *pgtest.Cluster
	epmt    *pgtest.EPMT
	err     error
}

// Shared returns the cluster, with EPMT, that all tests of this test binary share: SCRAM, no TLS, never stopped. The
// binary's TestMain should be Main, which closes it; without, it is removed when the process ends.
func Shared(t testing.TB) (*pgtest.Cluster, *pgtest.EPMT) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL; -short")
	}
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if shared.cluster, shared.err = pgtest.Start(ctx, pgtest.Options{}); shared.err == nil {
			shared.epmt, shared.err = shared.cluster.CreateEPMT(ctx)
		}
	})
	handle(t, shared.err)
	return shared.cluster, shared.epmt
}

// Main runs the tests, closes the shared cluster and returns the exit code: os.Exit(testpg.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			os.Stderr.WriteString("closing the shared cluster: " + err.Error() + "\n")
			code = max(code, 1)
		}
	}
	return code
}

func handle(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, pgtest.ErrNoServer) && os.Getenv(EnvRequire) == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
