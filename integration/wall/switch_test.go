package wall

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// leavings is what alice leaves behind for whoever has the server connection next.
var leavings = []string{
	"SET statement_timeout = '1ms'",
	"SELECT set_config('statement_' || 'timeout', '1ms', false)", // where pgtier does not see it
	"SET work_mem = '7MB'",
	"CREATE TEMP VIEW pg_class AS SELECT 'fake'::text AS relname; SET search_path = pg_temp, pg_catalog",
	"BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT",
	"SET ROLE none",
}

// TestSwitchUnderFire: alice and bob take turns on one server connection, alice leaves behind what she can, and another session
// of the same login cancels whatever runs, at any time. What bob's statements have done they have done as bob, on a clean
// connection, or not at all.
func TestSwitchUnderFire(t *testing.T) {
	b := newLab(t)
	l := levels[1]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.sql(l, "CREATE TABLE app.turns (said text, ran text, mem text, fake boolean); GRANT INSERT ON app.turns TO PUBLIC")
	var storm sync.WaitGroup
	defer storm.Wait()
	end := make(chan struct{})
	defer close(end)
	storm.Go(func() { b.cancelAll(ctx, l, end) })
	var done, failed atomic.Int64
	var turns sync.WaitGroup
	until := time.Now().Add(6 * time.Second)
	for _, who := range []string{"alice", "bob", "bob"} {
		turns.Go(func() {
			for i := 0; time.Now().Before(until); i++ {
				if b.turn(l, who, i) {
					done.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	turns.Wait()
	for _, wrong := range b.sql(l, "SELECT said || ' ran as ' || ran || ' with work_mem ' || mem || CASE WHEN fake THEN ' and a fake catalog' ELSE '' END"+
		" FROM app.turns WHERE said = 'alice' AND ran = 'bob' OR said = 'bob' AND (ran <> 'bob' OR mem <> '4MB' OR fake)") {
		t.Error(wrong)
	}
	if n := b.sql(l, "SELECT count(*) FROM app.turns WHERE said = 'bob'")[0]; n == "0" {
		t.Error("bob has done nothing")
	}
	t.Logf("%d turns, %d that failed", done.Load(), failed.Load())
}

// cancelAll cancels what the login's sessions run, as a client without a guard could.
func (b *lab) cancelAll(ctx context.Context, l level, end <-chan struct{}) {
	conn, err := pgconn.Connect(ctx, b.proxy.Cluster.URL(l.login(), password, l.name))
	if err != nil {
		b.t.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		select {
		case <-end:
			return
		default:
			_, _ = conn.Exec(ctx, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid(); "+
				"SELECT pg_sleep(random() * 0.02)").ReadAll() // or nobody would ever come as far as a statement
		}
	}
}

// turn is one session of an identity's: some statements, of which alice's leave something behind.
func (b *lab) turn(l level, who string, i int) (ok bool) {
	c, err := b.connect(l, who, nil)
	if err != nil {
		return false
	}
	defer c.close()
	note := fmt.Sprintf("INSERT INTO app.turns SELECT '%s', current_user, current_setting('work_mem'), EXISTS (SELECT FROM pg_class WHERE relname = 'fake')", who)
	for range 5 {
		c.query(note)
		if who == "alice" {
			c.query(leavings[i%len(leavings)])
		}
		if c.ended {
			return false
		}
	}
	return true
}
