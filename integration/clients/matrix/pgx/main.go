// Command pgx is pgx's part of the driver matrix: its five ways to execute, batches, pools, COPY, large objects, listening,
// and clients whose sessions differ while their statements read the same.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const rounds = 15

var (
	dsn        = os.Getenv("DSN")
	workers, _ = strconv.Atoi(os.Getenv("WORKERS"))
	failed     bool
)

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

func check(name string, got, want any) {
	if reflect.DeepEqual(got, want) {
		fmt.Println("ok", name)
		return
	}
	failed = true
	fmt.Printf("FAILED %s: got %v, want %v\n", name, got, want)
}

func saw(name string, what any) { fmt.Printf("saw %s => %v\n", name, what) }

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	fmt.Println("version", version())
	admin := connect(ctx, pgx.QueryExecModeCacheStatement)
	run(ctx, admin, "DROP TABLE IF EXISTS m_pgx")
	run(ctx, admin, "CREATE TABLE m_pgx (worker int, n int, doc jsonb)")
	for _, mode := range modes {
		manyWorkers(ctx, mode)
		batches(ctx, mode)
		changedTable(ctx, mode)
	}
	copying(ctx)
	largeObjects(ctx)
	listening(ctx)
	cancelling(ctx)
	sameTextOtherSession(ctx)
	run(ctx, admin, "DROP TABLE m_pgx")
	admin.Close(ctx)
	if failed {
		os.Exit(1)
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/jackc/pgx/v5" {
			return m.Version
		}
	}
	return "unknown"
}

func connect(ctx context.Context, mode pgx.QueryExecMode, params ...string) *pgx.Conn {
	cfg, err := pgx.ParseConfig(dsn)
	must(err)
	cfg.DefaultQueryExecMode = mode
	for i := 0; i < len(params); i += 2 {
		cfg.RuntimeParams[params[i]] = params[i+1]
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	must(err)
	return conn
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, conn *pgx.Conn, sql string, args ...any) {
	_, err := conn.Exec(ctx, sql, args...)
	must(err)
}

func one[T any](ctx context.Context, conn *pgx.Conn, sql string, args ...any) T {
	var v T
	must(conn.QueryRow(ctx, sql, args...).Scan(&v))
	return v
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func manyWorkers(ctx context.Context, mode pgx.QueryExecMode) {
	var all sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		all.Go(func() { errs[i] = worker(ctx, mode, i) })
	}
	all.Wait()
	check(mode.String()+": 8 connections at once: transactions, errors", errors.Join(errs...), error(nil))
}

func worker(ctx context.Context, mode pgx.QueryExecMode, i int) error {
	conn := connect(ctx, mode)
	defer conn.Close(ctx)
	for n := range rounds {
		var sum, count int
		if err := conn.QueryRow(ctx, "SELECT $1::int4 * 1000 + $2::int4", i, n).Scan(&sum); err != nil || sum != i*1000+n {
			return fmt.Errorf("sum %d: %w", sum, err)
		}
		id := int(mode)*100 + i
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO m_pgx (worker, n) VALUES ($1, $2)", id, n); err != nil {
				return err
			}
			return tx.QueryRow(ctx, "SELECT count(*) FROM m_pgx WHERE worker = $1", id).Scan(&count)
		})
		if err != nil || count != n+1 {
			return fmt.Errorf("count %d: %w", count, err)
		}
		if err := conn.QueryRow(ctx, "SELECT 1 / $1::int4", 0).Scan(&sum); code(err) != "22012" {
			return fmt.Errorf("division: %w", err)
		}
	}
	return nil
}

func batches(ctx context.Context, mode pgx.QueryExecMode) {
	conn := connect(ctx, mode)
	defer conn.Close(ctx)
	var b pgx.Batch
	var got []int
	for n := range 60 {
		b.Queue(fmt.Sprintf("SELECT $1::int4 + %d", n%9), n).QueryRow(func(row pgx.Row) error {
			var v int
			err := row.Scan(&v)
			got = append(got, v-n)
			return err
		})
	}
	must(conn.SendBatch(ctx, &b).Close())
	want := make([]int, 60)
	for n := range want {
		want[n] = n % 9
	}
	check(mode.String()+": a batch of 60", got, want)
	b = pgx.Batch{}
	b.Queue("INSERT INTO m_pgx (worker, n) VALUES ($1, $2)", 9000, 1)
	b.Queue("SELECT 1 / $1::int4", 0)
	err := conn.SendBatch(ctx, &b).Close()
	check(mode.String()+": an error in a batch", []any{code(err), one[int](ctx, conn, "SELECT count(*) FROM m_pgx WHERE worker = 9000")}, []any{"22012", 0})
}

// changedTable: a mode that keeps descriptions fails once, as without pgtier, and then goes on.
func changedTable(ctx context.Context, mode pgx.QueryExecMode) {
	conn := connect(ctx, mode)
	defer conn.Close(ctx)
	table := "m_pgx_shape"
	run(ctx, conn, "CREATE TABLE "+table+" (a int)")
	run(ctx, conn, "INSERT INTO "+table+" VALUES (1)")
	columns := func() string {
		rows, err := conn.Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			return code(err)
		}
		n := len(rows.FieldDescriptions())
		rows.Close()
		if rows.Err() != nil {
			return code(rows.Err())
		}
		return fmt.Sprintf("%d columns", n)
	}
	seen := []string{columns(), columns()}
	run(ctx, conn, "ALTER TABLE "+table+" ADD COLUMN b int")
	saw(mode.String()+": a statement whose table has changed", append(seen, columns(), columns()))
	run(ctx, conn, "DROP TABLE "+table)
}

func copying(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"m_pgx"}, []string{"worker", "n"}, pgx.CopyFromSlice(5000, func(i int) ([]any, error) { return []any{9100, i}, nil }))
	check("CopyFrom", []any{n, err}, []any{int64(5000), error(nil)})
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT n FROM m_pgx WHERE worker = 9100 ORDER BY n) TO STDOUT")
	check("CopyTo", []any{strings.Count(out.String(), "\n"), err}, []any{5000, error(nil)})
	stop := errors.New("stop")
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"m_pgx"}, []string{"worker", "n"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, stop }))
	saw("CopyFrom given up", code(err))
	check("after that", one[int](ctx, conn, "SELECT $1::int4", 1), 1)
}

func largeObjects(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	must(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		lobs := tx.LargeObjects()
		oid, err := lobs.Create(ctx, 0)
		must(err)
		lob, err := lobs.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		must(err)
		_, err = lob.Write(content)
		must(err)
		_, err = lob.Seek(0, io.SeekStart)
		must(err)
		got, err := io.ReadAll(lob)
		check("large object of 1.6 MB", []any{bytes.Equal(got, content), err}, []any{true, error(nil)})
		return lobs.Unlink(ctx, oid)
	}))
}

func listening(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	run(ctx, conn, "LISTEN m_pgx")
	other := connect(ctx, pgx.QueryExecModeExec)
	run(ctx, other, "SELECT pg_notify('m_pgx', $1)", "hello")
	other.Close(ctx)
	n, err := conn.WaitForNotification(ctx)
	must(err)
	check("WaitForNotification", n.Channel+" "+n.Payload, "m_pgx hello")
}

func cancelling(ctx context.Context) {
	conn := connect(ctx, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	time.AfterFunc(300*time.Millisecond, func() { must(conn.PgConn().CancelRequest(ctx)) })
	_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
	saw("CancelRequest", code(err))
	check("after the cancel", one[int](ctx, conn, "SELECT $1::int4", 1), 1)
}

// sameTextOtherSession: what a text means depends on the session that prepares it. Literals are converted while parsing, with
// the session's time zone and date style; names are looked up along its search_path; the text itself is in its encoding.
func sameTextOtherSession(ctx context.Context) {
	admin := connect(ctx, pgx.QueryExecModeExec)
	defer admin.Close(ctx)
	for _, sql := range []string{
		"DROP SCHEMA IF EXISTS m_pgx_a, m_pgx_b CASCADE", "CREATE SCHEMA m_pgx_a", "CREATE SCHEMA m_pgx_b",
		"CREATE TABLE m_pgx_a.t AS SELECT 'of a' AS v", "CREATE TABLE m_pgx_b.t AS SELECT 17 AS v, 'of b' AS w",
	} {
		run(ctx, admin, sql)
	}
	one := connect(ctx, pgx.QueryExecModeCacheStatement, "timezone", "UTC", "datestyle", "ISO, DMY", "search_path", "m_pgx_a")
	two := connect(ctx, pgx.QueryExecModeCacheStatement, "timezone", "Asia/Tokyo", "datestyle", "ISO, MDY", "search_path", "m_pgx_b")
	defer one.Close(ctx)
	defer two.Close(ctx)
	for round := range 3 {
		for _, sql := range []string{
			"SELECT ('2024-01-01 00:00'::timestamptz)::text", fmt.Sprintf("SELECT ('01/02/2024'::date)::text, %d", round),
			"SELECT * FROM t", "SELECT extract(epoch FROM timestamptz '2024-01-01')::int8",
		} {
			saw(fmt.Sprintf("one text in two sessions, round %d", round), values(ctx, one, sql)+" | "+values(ctx, two, sql))
		}
		run(ctx, one, "SET datestyle = 'ISO, "+[]string{"MDY", "DMY", "MDY"}[round]+"'")
	}
	run(ctx, admin, "DROP SCHEMA m_pgx_a, m_pgx_b CASCADE")
}

func values(ctx context.Context, conn *pgx.Conn, sql string) string {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return code(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		v, err := row.Values()
		return fmt.Sprint(v...), err
	})
	if err != nil {
		return code(err)
	}
	return strings.Join(all, ";")
}
