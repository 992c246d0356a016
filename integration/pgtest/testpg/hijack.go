package testpg

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// hijackTimeout bounds what a test does with a connection: a hang becomes an error at the read that hangs.
const hijackTimeout = 2 * time.Minute

// Hijack logs in and gives up the connection, for a test to speak in frames. params, which may be nil, are startup
// parameters. It ends with the test.
func Hijack(t testing.TB, dsn string, params map[string]string) *pgconn.HijackedConn {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range params {
		cfg.RuntimeParams[name] = value
	}
	ctx, cancel := context.WithTimeout(context.Background(), hijackTimeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	h, err := conn.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Conn.Close() })
	if err := h.Conn.SetDeadline(time.Now().Add(hijackTimeout)); err != nil {
		t.Fatal(err)
	}
	return h
}
