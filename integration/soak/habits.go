package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// habit is one way in which clients use a database. do returns an error when the connection, or an answer, is broken.
type habit struct {
	name   string
	weight int
	do     func(c *client, ctx context.Context) error
}

// transactionHabits are those of clients whose server changes between transactions.
var transactionHabits = []habit{
	{"simple query", 20, (*client).simple},
	{"large result", 1, (*client).large},
	{"several statements", 5, (*client).several},
	{"extended query", 20, (*client).extended},
	{"prepared statement", 30, (*client).preparedStatement},
	{"pipeline", 10, (*client).pipeline},
	{"copy out", 4, (*client).copyOut},
	{"copy in", 4, (*client).copyIn},
	{"failing copy in", 2, (*client).copyInFails},
	{"transaction", 10, (*client).transaction},
	{"failed transaction", 5, (*client).failedTransaction},
	{"error", 5, (*client).fails},
	{"setting", 10, (*client).set},
	{"settings", 15, (*client).checkSettings},
	{"reset", 2, (*client).reset},
	{"cancel", 2, (*client).cancel},
	{"session state", 1, (*client).sessionState},
	{"reconnect", 1, (*client).hangUp},
	{"half a request", 1, (*client).half},
}

// sessionHabits are those of clients that keep their server.
var sessionHabits = append([]habit{{"temporary table", 30, (*client).keep}}, transactionHabits...)

func pick(r *rand.Rand, habits []habit) habit {
	total := 0
	for _, h := range habits {
		total += h.weight
	}
	n := r.IntN(total)
	for _, h := range habits {
		if n -= h.weight; n < 0 {
			return h
		}
	}
	panic("BUG: weights")
}

// tag is what a request carries and its answer must carry.
func (c *client) tag() string { return fmt.Sprintf("c%ds%d", c.id, c.seq) }

// want compares rows, each written with commas between its columns.
func (c *client) want(res *pgconn.Result, rows ...string) error {
	if res.Err != nil {
		return c.excuse(res.Err)
	}
	got := make([]string, 0, len(res.Rows))
	for _, row := range res.Rows {
		got = append(got, joined(row))
	}
	if strings.Join(got, "\n") != strings.Join(rows, "\n") {
		return c.wrong("got %.300q, want %.300q", got, rows)
	}
	return nil
}

func joined(row [][]byte) string {
	var b strings.Builder
	for i, v := range row {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(v)
	}
	return b.String()
}

// excuse turns the late effect of the client's own cancel request into nothing.
func (c *client) excuse(err error) error {
	if c.seq <= c.sparedTo && code(err) == "57014" {
		return nil
	}
	return err
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// ask runs a text as a simple query and compares the rows of its last statement.
func (c *client) ask(ctx context.Context, sql string, rows ...string) error {
	results, err := c.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return c.excuse(err)
	}
	return c.want(results[len(results)-1], rows...)
}

// wantCode runs a text that must fail with the SQLSTATE, and leave the session alive.
func (c *client) wantCode(ctx context.Context, sql, want string) error {
	_, err := c.conn.Exec(ctx, sql).ReadAll()
	switch {
	case code(err) == want || c.excuse(err) == nil && err != nil:
		return nil
	case err == nil:
		return c.wrong("%s worked", sql)
	}
	return err
}

func (c *client) series(n int) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf("%s,%d", c.tag(), i+1)
	}
	return rows
}

func (c *client) simple(ctx context.Context) error {
	n := 1 + c.rand.IntN(5)
	return c.ask(ctx, fmt.Sprintf("SELECT '%s', generate_series(1, %d)", c.tag(), n), c.series(n)...)
}

func (c *client) large(ctx context.Context) error {
	const n = 20_000
	return c.ask(ctx, fmt.Sprintf("SELECT '%s', generate_series(1, %d)", c.tag(), n), c.series(n)...)
}

func (c *client) several(ctx context.Context) error {
	results, err := c.conn.Exec(ctx, fmt.Sprintf("SELECT '%s', 1; SELECT '%[1]s', 2; SELECT '%[1]s', 3", c.tag())).ReadAll()
	if err != nil {
		return c.excuse(err)
	}
	if len(results) != 3 {
		return c.wrong("%d results, want 3", len(results))
	}
	for i, row := range c.series(3) {
		if err := c.want(results[i], row); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) extended(ctx context.Context) error {
	n := c.rand.IntN(1000)
	res := c.conn.ExecParams(ctx, "SELECT $1::text, $2::int + 1", [][]byte{[]byte(c.tag()), fmt.Append(nil, n)}, nil, nil, nil).Read()
	return c.want(res, fmt.Sprintf("%s,%d", c.tag(), n+1))
}

// preparedStatement uses one of a few hundred statements: more than a server keeps, some of them everybody's, some its own.
func (c *client) preparedStatement(ctx context.Context) error {
	k := c.rand.IntN(150)
	name, secret := fmt.Sprintf("p%d", k), fmt.Sprint(k)
	if k%10 == 0 {
		secret = fmt.Sprintf("%d of %d", k, c.id)
	}
	if c.prepared[name] == "" {
		sd, err := c.conn.Prepare(ctx, name, fmt.Sprintf("SELECT $1::text, '%s'::text", secret), nil)
		if err != nil {
			return c.excuse(err)
		}
		if len(sd.ParamOIDs) != 1 || len(sd.Fields) != 2 {
			return c.wrong("statement %s is described as %v %v", name, sd.ParamOIDs, sd.Fields)
		}
		c.prepared[name] = secret
	}
	res := c.conn.ExecPrepared(ctx, name, [][]byte{[]byte(c.tag())}, nil, nil).Read()
	if err := c.want(res, c.tag()+","+secret); err != nil {
		return err
	}
	if c.rand.IntN(20) == 0 {
		delete(c.prepared, name)
		return c.excuse(c.conn.Deallocate(ctx, name))
	}
	return nil
}

// fails is an error outside a transaction.
func (c *client) fails(ctx context.Context) error {
	if err := c.wantCode(ctx, "SELECT 1/0", "22012"); err != nil {
		return err
	}
	res := c.conn.ExecPrepared(ctx, "never prepared", nil, nil, nil).Read()
	switch {
	case res.Err == nil:
		return c.wrong("a statement that was never prepared worked")
	case code(res.Err) != "26000" && c.excuse(res.Err) != nil:
		return res.Err
	}
	return c.simple(ctx)
}

// hangUp ends the connection without a word.
func (c *client) hangUp(context.Context) error {
	if c.rand.IntN(2) == 0 {
		c.cut(true)
	} else {
		c.leave()
	}
	return nil
}

// cancel cancels a request, early, late or never.
func (c *client) cancel(ctx context.Context) error {
	c.crowd.report.cancels.Add(1)
	const late = 3 // requests
	c.sparedTo = c.seq + late
	mr := c.conn.Exec(ctx, fmt.Sprintf("SELECT '%s', 1 FROM pg_sleep(%g)", c.tag(), 0.01*float64(c.rand.IntN(5))))
	timer := time.NewTimer(time.Duration(c.rand.IntN(40)) * time.Millisecond)
	defer timer.Stop()
	done := make(chan error, 1)
	go func() {
		<-timer.C
		done <- c.conn.CancelRequest(ctx)
	}()
	results, err := mr.ReadAll()
	if cancelErr := <-done; cancelErr != nil && err == nil && !c.crowd.stormy.Load() {
		return fmt.Errorf("cancel request: %w", cancelErr)
	}
	if err != nil {
		return c.excuse(err)
	}
	return c.want(results[0], c.series(1)...)
}
