// Command lib-pq is lib/pq's part of the driver matrix: database/sql over its unnamed and named statements, COPY by
// pq.CopyIn, its listener, cancel by context.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/lib/pq"
)

const rounds = 15

var (
	dsn        = os.Getenv("DSN")
	workers, _ = strconv.Atoi(os.Getenv("WORKERS"))
	failed     bool
)

func check(name string, got, want any) {
	if reflect.DeepEqual(got, want) {
		fmt.Println("ok", name)
		return
	}
	failed = true
	fmt.Printf("FAILED %s: got %v, want %v\n", name, got, want)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	fmt.Println("version", version())
	db, err := sql.Open("postgres", dsn)
	must(err)
	db.SetMaxOpenConns(workers)
	run(ctx, db, "DROP TABLE IF EXISTS m_pq")
	run(ctx, db, "CREATE TABLE m_pq (worker int, n int)")
	manyWorkers(ctx, db, "8 goroutines on a pool of 8: statements, transactions, errors")
	binary, err := sql.Open("postgres", dsn+"&binary_parameters=yes")
	must(err)
	run(ctx, db, "TRUNCATE m_pq")
	manyWorkers(ctx, binary, "the same with binary_parameters")
	must(binary.Close())
	copying(ctx, db)
	listening(db)
	cancelling(ctx, db)
	run(ctx, db, "DROP TABLE m_pq")
	must(db.Close())
	if failed {
		os.Exit(1)
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	return info.Deps[0].Version
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, db *sql.DB, query string) {
	_, err := db.ExecContext(ctx, query)
	must(err)
}

func code(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return fmt.Sprint(err)
}

func manyWorkers(ctx context.Context, db *sql.DB, name string) {
	sum, err := db.PrepareContext(ctx, "SELECT $1::int4 * 1000 + $2::int4") // prepared again on each connection of the pool
	must(err)
	defer sum.Close()
	var all sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		all.Go(func() { errs[i] = worker(ctx, db, sum, i) })
	}
	all.Wait()
	check(name, errors.Join(errs...), error(nil))
}

func worker(ctx context.Context, db *sql.DB, sum *sql.Stmt, i int) error {
	for n := range rounds {
		var got, count int
		if err := sum.QueryRowContext(ctx, i, n).Scan(&got); err != nil || got != i*1000+n {
			return fmt.Errorf("sum %d: %w", got, err)
		}
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		if _, err := tx.StmtContext(ctx, sum).ExecContext(ctx, i, n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO m_pq VALUES ($1, $2)", i, n); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM m_pq WHERE worker = $1", i).Scan(&count); err != nil || count != n+1 {
			return fmt.Errorf("count %d: %w", count, err)
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if err := db.QueryRowContext(ctx, "SELECT 1 / $1::int4", 0).Scan(&got); code(err) != "22012" {
			return fmt.Errorf("division: %w", err)
		}
	}
	return nil
}

func copying(ctx context.Context, db *sql.DB) {
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	in, err := tx.PrepareContext(ctx, pq.CopyIn("m_pq", "worker", "n"))
	must(err)
	for n := range 3000 {
		_, err := in.ExecContext(ctx, 90, n)
		must(err)
	}
	_, err = in.ExecContext(ctx)
	must(err)
	must(in.Close())
	must(tx.Commit())
	var n int
	must(db.QueryRowContext(ctx, "SELECT count(*) FROM m_pq WHERE worker = 90").Scan(&n))
	check("CopyIn", n, 3000)
	var a pq.Int64Array
	must(db.QueryRowContext(ctx, "SELECT $1::int8[]", pq.Array([]int64{1, 2})).Scan(&a))
	check("arrays", a, pq.Int64Array{1, 2})
}

func listening(db *sql.DB) {
	l := pq.NewListener(dsn, 100*time.Millisecond, time.Second, nil)
	defer l.Close()
	must(l.Listen("m_pq"))
	_, err := db.Exec("SELECT pg_notify('m_pq', 'hello')")
	must(err)
	select {
	case n := <-l.Notify:
		check("Listener", n.Channel+" "+n.Extra, "m_pq hello")
	case <-time.After(20 * time.Second):
		check("Listener", "silence", "m_pq hello")
	}
	check("Listener: ping", l.Ping(), error(nil))
}

func cancelling(ctx context.Context, db *sql.DB) {
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(short, "SELECT pg_sleep(30)")
	fmt.Println("saw cancel by context =>", code(err))
	var n int
	must(db.QueryRowContext(ctx, "SELECT $1::int4", 7).Scan(&n))
	check("after the cancel", n, 7)
}
