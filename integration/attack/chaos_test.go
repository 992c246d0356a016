package attack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// palette is what the attackers of TestChaos draw from.
var palette = [][]byte{
	query("SELECT 'evil'"), query("SELECT 'evil', pg_sleep(0.002)"), query("nonsense"), query(""), query("BEGIN"), query("COMMIT"), query("ROLLBACK"),
	query("SELECT 1/0; SELECT 'evil'"), query("SAVEPOINT a"), query("ROLLBACK TO a"), query("DISCARD ALL"), query("DEALLOCATE ALL"), query("DEALLOCATE a"),
	query("SET search_path = evil"), query("SET statement_timeout = 50"), query("RESET ALL"), query("SET LOCAL work_mem = '77kB'"), query("SHOW pgtier.tier"),
	query("PREPARE a AS SELECT 'evil'"), query("EXECUTE a"), query("EXECUTE pgtier_1"), query("LISTEN evil"), query("NOTIFY evil"), query("UNLISTEN *"),
	query("SELECT pg_advisory_lock_shared(1)"), query("DECLARE c CURSOR WITH HOLD FOR SELECT 'evil'"), query("FETCH ALL c"), query("CLOSE ALL"),
	query("SELECT repeat('evil', 50000)"), query("SELECT 'evil' FROM generate_series(1, 20000)"), query("SELECT '" + strings.Repeat("x", 40000) + "'"),
	query("COPY hosts FROM STDIN"), query("COPY (SELECT 'evil') TO STDOUT"), query("COPY hosts FROM STDIN; COPY hosts FROM STDIN"), query("SELECT 1; COPY hosts FROM STDIN; SELECT 'evil'"),
	copyData("1\t2\t3\t4\t5\n"), copyData(strings.Repeat("x", 70000)), copyData("\n"), copyDone, frame('f', "no\x00"), frame('f', "no\x00"), copyDone,
	parse("", "SELECT 'evil'"), parse("a", "SELECT 'evil a'"), parse("b", "SELECT 'evil b' || $1"), parse("", "nonsense"), parse("c", "COPY hosts FROM STDIN"), parse("", "COMMIT"),
	parse("d", "SET search_path = evil2"), parse("e", "DISCARD ALL"), parse("f", "SELECT '"+strings.Repeat("x", 20000)+"'"), parse("pgtier_1", "SELECT 'evil'"),
	bind("", ""), bind("", "a"), bind("", "b"), bind("p", "a"), bind("", "c"), bind("", "d"), bind("", "e"), bind("", "f"), bind("", "pgtier_1"), bind("p", ""),
	describeStmt(""), describeStmt("a"), describeStmt("f"), frame('D', "P\x00"), frame('D', "Pp\x00"), closeStmt("a"), closeStmt(""), closeStmt("f"), frame('C', "Pp\x00"),
	execute(""), execute("p"), frame('E', "\x00\x00\x00\x00\x01"), execute(""), sync, sync, sync, sync, sync, flush,
	frame('F', "\x00\x00\x05\x75\x00\x00\x00\x01\x00\x00\x00\x02-5\x00\x00"),
}

// TestChaos lets attackers send random frames, cut them anywhere and go in any way, while others of the same identity and of
// another want nothing but their own answers, from the same two servers.
func TestChaos(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = 6"}}).Endpoint
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var all stdsync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for ctx.Err() == nil {
				attackAtRandom(t, p, r, []string{"ingest~rw", "ops~rw"}[r.IntN(2)])
			}
		})
	}
	answers := make([]int, 4)
	for i := range answers {
		all.Go(func() { answers[i] = wantOwn(ctx, t, p, i) })
	}
	all.Wait()
	t.Logf("%d answers", answers)
}

func attackAtRandom(t *testing.T, p *harness.Endpoint, r *rand.Rand, user string) {
	c := dial(t, p, user)
	var b []byte
	for range 1 + r.IntN(14) {
		b = append(b, palette[r.IntN(len(palette))]...)
	}
	if r.IntN(3) == 0 {
		b = b[:1+r.IntN(len(b))]
	}
	for len(b) > 0 {
		n := len(b)
		if r.IntN(2) == 0 {
			n = 1 + r.IntN(len(b))
		}
		if _, err := c.conn.Write(b[:n]); err != nil {
			break
		}
		b = b[n:]
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(4)) * time.Millisecond))
		_, _ = c.conn.Read(make([]byte, 1+r.IntN(100_000)))
	}
	switch r.IntN(3) {
	case 0:
		_ = c.conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_, _ = c.conn.Write(frame('X'))
	}
	_ = c.conn.Close()
}

// wantOwn asks for what nobody else asks for, in different ways, and returns how often it got it.
func wantOwn(ctx context.Context, t *testing.T, p *harness.Endpoint, i int) (n int) {
	user := []string{"ingest~rw", "ops~rw"}[i%2]
	var conn *pgconn.PgConn
	for ; ctx.Err() == nil; n++ {
		if conn == nil {
			var err error
			if conn, err = pgconn.Connect(context.Background(), dsn(p, user)); err != nil {
				t.Errorf("victim %d, login: %v", i, err)
				return n
			}
		}
		want := fmt.Sprintf("victim %d, %d", i, n)
		sql := "SELECT '" + want + "', current_setting('search_path'), current_setting('work_mem')"
		var rows [][][]byte
		var err error
		switch n % 3 {
		case 0:
			var results []*pgconn.Result
			if results, err = conn.Exec(context.Background(), sql).ReadAll(); err == nil {
				rows = results[0].Rows
			}
		case 1:
			result := conn.ExecParams(context.Background(), sql, nil, nil, nil, nil).Read()
			rows, err = result.Rows, result.Err
		default:
			if _, err = conn.Prepare(context.Background(), "a", "SELECT $1 || '', current_setting('search_path'), current_setting('work_mem')", nil); err == nil {
				result := conn.ExecPrepared(context.Background(), "a", [][]byte{[]byte(want)}, nil, nil).Read()
				if rows, err = result.Rows, result.Err; err == nil {
					err = conn.Deallocate(context.Background(), "a")
				}
			}
		}
		var e *pgconn.PgError
		switch {
		case err != nil && errors.As(err, &e) && e.Severity != "FATAL":
			t.Errorf("victim %d, query %d: %v", i, n, err)
		case err != nil:
			t.Errorf("victim %d, query %d, lost the connection: %v", i, n, err)
			_ = conn.Close(context.Background())
			conn = nil
		case len(rows) != 1 || string(rows[0][0]) != want || string(rows[0][1]) != `"$user", public` || string(rows[0][2]) != "4MB":
			t.Errorf("victim %d, query %d, got %q, want %q", i, n, rows, want)
		}
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
	return n
}
