package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// TestDemo runs the whole of it, and does what its screen tells people to do.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL; -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := pgtest.FindBinaries(ctx, "", 0); errors.Is(err, pgtest.ErrNoServer) && os.Getenv("PGTIER_REQUIRE_PG") == "" {
		t.Skip(err)
	}
	screen, ended := startDemo(ctx)
	address, dir := readScreen(t, screen)
	for _, step := range []struct{ user, database, sql, want string }{
		{"alice", "EPMT", "SELECT current_user", "epmt-ro"},
		{"ingest", "EPMT", "SELECT current_user", "epmt-rw"},
		{"ops~admin", "EPMT", "SELECT current_user", "epmt-admin"},
		{"alice", "EPMT", "DELETE FROM jobs", "permission denied for table jobs"},
		{"ingest~rw", "EPMT", "INSERT INTO jobs (jobid, user_id, start) VALUES ('demo-1', 'Mary.Smith', now())", ""},
		{"migrate", "EPMT", "CREATE TABLE notes (note text)", ""},
		{"alice", "EPMT", "SELECT count(*) FROM notes", "0"},
		{"alice~admin", "EPMT", "SELECT 1", `permission denied: "alice" may not use tier "admin"`},
		{"ops", "pgtier", "SHOW POOLS", "EPMT"},
		{"alice", "pgtier", "SHOW POOLS", `database "pgtier" does not exist`},
	} {
		got, err := ask(ctx, demoURL(step.user, address, step.database), step.sql)
		if err != nil {
			got = err.Error()
		}
		if step.want == "" && err != nil || !strings.Contains(got, step.want) {
			t.Errorf("%s: %s: got %q, want %q", step.user, step.sql, got, step.want)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the screen names %s: %v", dir, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
}

// startDemo runs the demo until ctx ends; screen is what it prints.
func startDemo(ctx context.Context) (screen io.Reader, ended <-chan error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := runDemo(ctx, demoFlags{listen: "127.0.0.1:0"}, w)
		w.CloseWithError(io.EOF)
		done <- err
	}()
	return r, done
}

// readScreen reads up to the line that says that the demo is ready.
func readScreen(t *testing.T, screen io.Reader) (address, dir string) {
	t.Helper()
	ready := regexp.MustCompile(`^pgtier demo ready: postgresql://alice:alice-demo@(.*)/EPMT$`)
	where := regexp.MustCompile(`throw-away, in (.*)\)$`)
	lines := bufio.NewScanner(screen)
	for lines.Scan() {
		if m := where.FindStringSubmatch(lines.Text()); m != nil {
			dir = m[1]
		}
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			return m[1], dir
		}
	}
	t.Fatal("the demo ended without being ready")
	return "", ""
}

// ask returns the first value of the answer to a query.
func ask(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func TestDemoAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for address, want := range map[string]string{
		l.Addr().String(): "is in use; choose another address, for example --listen 127.0.0.1:7432",
		"127.0.0.1":       "missing port",
		"127.0.0.1:0":     "",
	} {
		err := canListen(address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("canListen(%q) = %v, want %q", address, err, want)
		}
	}
	for address, want := range map[string]string{
		"0.0.0.0:6432": "127.0.0.1:6432", "[::]:1": "127.0.0.1:1", "127.0.0.1:6432": "127.0.0.1:6432", "db.example:6432": "db.example:6432",
	} {
		if got := reachable(address); got != want {
			t.Errorf("reachable(%q) = %q, want %q", address, got, want)
		}
	}
}
