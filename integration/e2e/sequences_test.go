package e2e

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// sequences is a pgtier with few rw connections, and a table whose key is a serial.
func sequences(t *testing.T, size int) *harness.Endpoint {
	t.Helper()
	p := harness.Start(t, harness.Options{Pools: map[string]string{"rw": "size = " + strconv.Itoa(size)}}).Endpoint
	exec(t, superuser(t, p), "DROP SCHEMA IF EXISTS numbered CASCADE") // an earlier test's
	owner := connect(t, p.DSN("migrate"))
	exec(t, owner, "CREATE SCHEMA numbered; GRANT USAGE ON SCHEMA numbered TO \"epmt-rw\"")
	exec(t, owner, "CREATE TABLE numbered.line (id serial, who text); CREATE SEQUENCE numbered.other")
	exec(t, owner, "GRANT ALL ON ALL TABLES IN SCHEMA numbered TO \"epmt-rw\"; GRANT ALL ON ALL SEQUENCES IN SCHEMA numbered TO \"epmt-rw\"")
	return p
}

const insertLine = "INSERT INTO numbered.line (who) VALUES ('x')"

// TestSequenceValuesOfATransaction: what a transaction got from a sequence it may ask for, from the first one on, while others
// of the same identity do the same on the same connections.
func TestSequenceValuesOfATransaction(t *testing.T) {
	p := sequences(t, 2)
	var all sync.WaitGroup
	for i := range 8 {
		conn := connect(t, p.DSN("ingest"))
		all.Go(func() {
			who := fmt.Sprint("client ", i)
			for range 25 {
				if err := lineByCurrval(t, conn, who); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// lineByCurrval inserts a line as old drivers do, and looks whether the key that it is told is that of its line.
func lineByCurrval(t *testing.T, conn *pgx.Conn, who string) error {
	ctx := deadline(t)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "INSERT INTO numbered.line (who) VALUES ($1)", who); err != nil {
		return err
	}
	var last, current int64
	if err := tx.QueryRow(ctx, "SELECT lastval()").Scan(&last); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, "SELECT currval($1::regclass)", "numbered.line_id_seq").Scan(&current); err != nil {
		return err
	}
	var owner string
	if err := tx.QueryRow(ctx, "SELECT who FROM numbered.line WHERE id = $1", last).Scan(&owner); err != nil {
		return err
	}
	if owner != who || last != current {
		return fmt.Errorf("%s got the key of %s (lastval %d, currval %d)", who, owner, last, current)
	}
	return tx.Commit(ctx)
}

// TestSequenceValuesOfOthers: two clients of one identity in turn on one connection never see each other's values, however
// they ask; the error says what to do.
func TestSequenceValuesOfOthers(t *testing.T) {
	for _, ask := range []string{"SELECT lastval()", "SELECT currval('numbered.line_id_seq')"} {
		t.Run(ask, func(t *testing.T) { sequenceOfOthers(t, ask) })
	}
}

func sequenceOfOthers(t *testing.T, ask string) {
	p := sequences(t, 1)
	a, b := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	exec(t, a, insertLine)
	exec(t, b, "BEGIN")
	_, err := tryAsk(deadline(t), b, ask)
	wantError(t, err, "55000", "is not yet defined in this session", "transaction")
	exec(t, b, "ROLLBACK")

	exec(t, a, insertLine)
	exec(t, b, "BEGIN")
	exec(t, b, insertLine)
	wantAnswer(t, b, ask, "3")
	exec(t, b, "COMMIT")
	exec(t, a, "BEGIN")
	var n int
	wantError(t, a.QueryRow(deadline(t), ask).Scan(&n), "55000", "is not yet defined in this session")
	exec(t, a, "ROLLBACK")
}

// TestSequenceValuesLater: a client that inserts and then asks, in statements that stand alone, gets an error when others
// have had the connection meanwhile, once; then it keeps its server and gets its own values.
func TestSequenceValuesLater(t *testing.T) {
	p := sequences(t, 3)
	a, b := connect(t, p.DSN("ingest")), connect(t, p.DSN("ingest"))
	exec(t, a, insertLine)
	wantAnswer(t, a, "SELECT lastval()", "1") // nobody else has had it
	for id := 2; id < 20; id += 2 {
		exec(t, a, insertLine)
		exec(t, b, insertLine)
		wantAnswer(t, a, "SELECT lastval()", strconv.Itoa(id))
	}
	_, err := tryAsk(deadline(t), connect(t, p.DSN("ingest")), "SELECT lastval()")
	wantError(t, err, "55000", "lastval is not yet defined in this session", "RETURNING")
	_, err = tryAsk(deadline(t), b, "INSERT INTO numbered.line (who) VALUES (currval('numbered.other')::text)")
	wantError(t, err, "55000", "is not yet defined in this session")
}
