package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// TestShortSoak is a soak of 20 seconds: `make soak` is the real one.
func TestShortSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	if _, err := pgtest.FindBinaries(t.Context(), "", 0); err != nil && os.Getenv(testpg.EnvRequire) == "" {
		t.Skip(err)
	}
	o := options{duration: 20 * time.Second, clients: 128, servers: 10, sessions: 2, pace: 50 * time.Millisecond, seed: uint64(time.Now().UnixNano())}
	o.pgtier = filepath.Join(t.TempDir(), "pgtier")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.pgtier, "github.com/pgtier/pgtier/cmd/pgtier")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := run(context.Background(), o)
	if err != nil {
		t.Error(err)
	}
	t.Log("\n" + r.String())
	if err := r.verdict(); err != nil {
		t.Errorf("%v\npgtier's log ends with:\n%s", err, tail(r.log))
	}
}

func tail(log string) string {
	const most = 4000
	return log[max(0, len(log)-most):]
}

// TestJudge: what a soak must not excuse.
func TestJudge(t *testing.T) {
	fatal := &pgconn.PgError{Severity: "FATAL", Code: "57P01"}
	for _, c := range []struct {
		name        string
		err         error
		cut, stormy bool
		fault       bool
	}{
		{"another's answer", &faultError{"not mine"}, true, true, true},
		{"cut off", errors.New("connection reset"), true, false, false},
		{"broken for no reason", errors.New("connection reset"), false, false, true},
		{"broken in the storm", errors.New("connection reset"), false, true, false},
		{"server killed in the storm", fatal, false, true, false},
		{"server killed in the calm", fatal, false, false, true},
		{"an error that no storm makes", &pgconn.PgError{Severity: "ERROR", Code: "26000"}, false, true, true},
		{"stuck", context.DeadlineExceeded, false, true, true},
	} {
		w := newCrowd(&lab{}, newReport(options{}))
		w.stormy.Store(c.stormy)
		client := &client{crowd: w}
		client.cable.cut = c.cut
		client.judge("test", c.err)
		if got := w.report.wrong > 0; got != c.fault {
			t.Errorf("%s: fault %v, want %v", c.name, got, c.fault)
		}
	}
}
