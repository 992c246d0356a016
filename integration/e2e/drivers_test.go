package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

var execModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// TestPgxModes: each way in which pgx sends a query, several connections sharing one server connection.
func TestPgxModes(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 1"}})
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			conns := make([]*pgx.Conn, 3)
			for i := range conns {
				conns[i] = connectMode(t, p.DSN("ingest"), mode)
			}
			for round := range 4 {
				for i, conn := range conns {
					queryTypes(t, conn, round*10+i)
					failAndGoOn(t, conn)
					transaction(t, conn)
				}
			}
		})
	}
}

// queryTypes sends values of several types there and back.
func queryTypes(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	when := time.Date(2024, 6, 15, 8, 0, n, 0, time.UTC)
	blob := bytes.Repeat([]byte{0, 1, 254, '\\', '\''}, 100+n)
	var (
		gotN     int
		gotText  string
		gotWhen  time.Time
		gotBlob  []byte
		gotFloat *float64
		gotJSON  json.RawMessage
	)
	err := conn.QueryRow(deadline(t), "SELECT $1::int4, $2::text, $3::timestamptz, $4::bytea, $5::float8, $6::jsonb",
		n, "naïve 'quotes' \\ ♞", when, blob, (*float64)(nil), `{"a": [1, 2]}`).
		Scan(&gotN, &gotText, &gotWhen, &gotBlob, &gotFloat, &gotJSON)
	if err != nil {
		t.Fatal(err)
	}
	if gotN != n || gotText != "naïve 'quotes' \\ ♞" || !gotWhen.Equal(when) || !bytes.Equal(gotBlob, blob) || gotFloat != nil ||
		string(gotJSON) != `{"a": [1, 2]}` {
		t.Errorf("got %v %q %v %d bytes %v %s", gotN, gotText, gotWhen, len(gotBlob), gotFloat, gotJSON)
	}
}

// failAndGoOn: an error costs the query and nothing else.
func failAndGoOn(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	var n int
	err := conn.QueryRow(deadline(t), "SELECT 1 / $1::int4", 0).Scan(&n)
	wantError(t, err, "22012", "division by zero")
	_, err = conn.Exec(deadline(t), "SELECT nonsense FROM nowhere")
	wantError(t, err, "42P01")
	if err := conn.QueryRow(deadline(t), "SELECT 6 / $1::int4", 2).Scan(&n); err != nil || n != 3 {
		t.Errorf("after the errors: %d, %v", n, err)
	}
}

func transaction(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	stop := errors.New("stop")
	err := pgx.BeginFunc(deadline(t), conn, func(tx pgx.Tx) error {
		for _, sql := range []string{"INSERT INTO hosts (name) VALUES ($1)", "UPDATE hosts SET created_at = now() WHERE name = $1"} {
			if tag, err := tx.Exec(deadline(t), sql, "in transaction"); err != nil || tag.RowsAffected() != 1 {
				return fmt.Errorf("%s: %v, %w", sql, tag, err)
			}
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(deadline(t), "SELECT count(*) FROM hosts WHERE name = $1", "in transaction").Scan(&n); err != nil || n != 0 {
		t.Errorf("after ROLLBACK: %d rows, %v", n, err)
	}
}

// TestPgxBatch sends many statements in one go, with an error among them.
func TestPgxBatch(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			conn := connectMode(t, p.DSN("alice"), mode)
			for _, bad := range []int{-1, 50} {
				batchOf100(t, conn, bad)
			}
		})
	}
}

func batchOf100(t *testing.T, conn *pgx.Conn, bad int) {
	t.Helper()
	var batch pgx.Batch
	for i := range 100 {
		divisor := 1
		if i == bad {
			divisor = 0
		}
		batch.Queue(fmt.Sprintf("SELECT $1::int4 / $2::int4 AS c%d", i%7), i, divisor)
	}
	results := conn.SendBatch(deadline(t), &batch)
	defer results.Close()
	for i := range 100 {
		var n int
		err := results.QueryRow().Scan(&n)
		if bad >= 0 && i >= bad {
			wantError(t, err, "22012")
			return
		}
		if err != nil || n != i {
			t.Fatalf("answer %d of the batch: %d, %v", i, n, err)
		}
	}
}

// TestPipeline: pgconn's pipeline mode, with several Syncs in flight, an error in one part and named statements.
func TestPipeline(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	for range 2 {
		conn := connect(t, p.DSN("alice")).PgConn()
		pipe := conn.StartPipeline(deadline(t))
		pipe.SendPrepare("double", "SELECT $1::int4 * 2", nil)
		pipe.SendQueryPrepared("double", [][]byte{[]byte("21")}, nil, nil)
		mustSync(t, pipe)
		pipe.SendQueryParams("SELECT 1 / $1::int4", [][]byte{[]byte("0")}, nil, nil, nil)
		pipe.SendQueryPrepared("double", [][]byte{[]byte("1")}, nil, nil) // discarded by the error
		mustSync(t, pipe)
		pipe.SendQueryPrepared("double", [][]byte{[]byte("4")}, nil, nil)
		pipe.SendDeallocate("double")
		pipe.SendQueryPrepared("double", [][]byte{[]byte("5")}, nil, nil)
		mustSync(t, pipe)

		want := []string{"prepared", "42", "sync", "error 22012", "sync", "8", "closed", "error 26000", "sync"}
		if got := drainPipeline(t, pipe); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := pipe.Close(); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(deadline(t), "SELECT 1").ReadAll(); err != nil {
			t.Errorf("after the pipeline: %v", err)
		}
	}
}

func mustSync(t *testing.T, pipe *pgconn.Pipeline) {
	t.Helper()
	if err := pipe.Sync(); err != nil {
		t.Fatal(err)
	}
}

// drainPipeline names the results of a pipeline in order.
func drainPipeline(t *testing.T, pipe *pgconn.Pipeline) (got []string) {
	t.Helper()
	for {
		result, err := pipe.GetResults()
		var e *pgconn.PgError
		switch r := result.(type) {
		case *pgconn.ResultReader:
			read := r.Read()
			if read.Err != nil {
				err = read.Err
			} else {
				got = append(got, string(read.Rows[0][0]))
			}
		case *pgconn.StatementDescription:
			got = append(got, "prepared")
		case *pgconn.CloseComplete:
			got = append(got, "closed")
		case *pgconn.PipelineSync:
			got = append(got, "sync")
		case nil:
			if err == nil {
				return got
			}
		}
		if errors.As(err, &e) {
			got = append(got, "error "+e.Code)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLoadKeepsAnswersApart: 200 clients on 5 connections, each of which must see what it wrote and nothing else.
func TestLoadKeepsAnswersApart(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 5"}})
	admin := connect(t, p.DSN("migrate"))
	exec(t, admin, "DROP TABLE IF EXISTS load; CREATE TABLE load (client int PRIMARY KEY, value int)")
	defer exec(t, admin, "DROP TABLE load")
	const clients, rounds = 200, 15
	ctx, cancel := context.WithTimeout(deadline(t), time.Minute)
	defer cancel()
	failures := make(chan error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if err := loadClient(ctx, p.DSN("ingest"), execModes[i%len(execModes)], i, rounds); err != nil {
				failures <- fmt.Errorf("client %d: %w", i, err)
			}
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if n := p.ServerSessions(t, "rw"); n > 5 {
		t.Errorf("%d server connections, at most 5 were allowed", n)
	}
}

func loadClient(ctx context.Context, dsn string, mode pgx.QueryExecMode, id, rounds int) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	cfg.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if _, err := conn.Exec(ctx, "INSERT INTO load VALUES ($1, -1)", id); err != nil {
		return err
	}
	for round := range rounds {
		if err := loadRound(ctx, conn, id, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func loadRound(ctx context.Context, conn *pgx.Conn, id, round int) error {
	var before, after, echo int
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT value FROM load WHERE client = $1", id).Scan(&before); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "UPDATE load SET value = $2 WHERE client = $1 RETURNING value", id, round).Scan(&after)
	})
	if err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "SELECT $1::int4 * 1000 + $2::int4", id, round).Scan(&echo); err != nil {
		return err
	}
	if before != round-1 || after != round || echo != id*1000+round {
		return fmt.Errorf("read %d, wrote %d, echoed %d", before, after, echo)
	}
	return nil
}
