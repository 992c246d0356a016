package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// What pgtier relies on when it sends the change of a server connection's identity and the client's bytes in one write: see
// proxy/session/prefix.go. Here it is asked of PostgreSQL itself, without pgtier.

const switchRoles = `CREATE ROLE px LOGIN NOINHERIT PASSWORD 'x'; CREATE ROLE alice; CREATE ROLE bob; GRANT alice, bob TO px;
	GRANT TEMPORARY ON DATABASE postgres TO px, alice, bob; CREATE TABLE witness (who text); GRANT ALL ON witness TO PUBLIC`

// switchWire is a server connection that is told exactly what a test says.
type switchWire struct {
	t testing.TB
	*pgproto3.Frontend
	pid uint32
}

func dialServer(t testing.TB, c *pgtest.Cluster) *switchWire {
	t.Helper()
	raw := testpg.Hijack(t, c.URL("px", "x", "postgres"), nil)
	return &switchWire{t, raw.Frontend, raw.PID}
}

// prefix queues the statements as pgtier does, without Sync.
func (w *switchWire) prefix(statements ...string) {
	for _, sql := range statements {
		w.SendParse(&pgproto3.Parse{Query: sql})
		w.SendBind(&pgproto3.Bind{})
		w.SendExecute(&pgproto3.Execute{})
	}
}

func (w *switchWire) query(sql string) { w.SendQuery(&pgproto3.Query{String: sql}) }

// answers sends what is queued and returns what comes up to the n-th ReadyForQuery, in short.
func (w *switchWire) answers(n int) string {
	w.t.Helper()
	if err := w.Flush(); err != nil {
		w.t.Fatal(err)
	}
	var said []string
	for n > 0 {
		m, err := w.Receive()
		if err != nil {
			w.t.Fatalf("%v, behind %q", err, said)
		}
		switch m := m.(type) {
		case *pgproto3.CommandComplete:
			said = append(said, string(m.CommandTag))
		case *pgproto3.DataRow:
			said = append(said, "="+string(m.Values[0]))
		case *pgproto3.ErrorResponse:
			said = append(said, m.Code)
		case *pgproto3.NoticeResponse:
			if m.Code != "01000" { // VACUUM of somebody else's table
				said = append(said, "notice "+m.Code)
			}
		case *pgproto3.ReadyForQuery:
			said = append(said, string(rune(m.TxStatus)))
			n--
		}
	}
	return strings.Join(said, " ")
}

func (w *switchWire) want(n int, want string) {
	w.t.Helper()
	if got := w.answers(n); got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}

var toAlice = []string{"DISCARD ALL", "BEGIN", "SET ROLE alice", "COMMIT"}

// TestSwitchStartsAfresh: what comes behind the prefix begins a transaction of its own, as alice, and cannot undo the role.
func TestSwitchStartsAfresh(t *testing.T) {
	c := testpg.Start(t, pgtest.Options{})
	if err := c.Exec(t.Context(), "postgres", switchRoles); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, sql, want string }{
		{"who", "SELECT current_user", "=alice SELECT 1 I"},
		{"rolled back", "ROLLBACK; SELECT current_user", "notice 25P01 ROLLBACK =alice SELECT 1 I"},
		{"no transaction block", "VACUUM witness", "VACUUM I"},
		{"its own snapshot", "BEGIN ISOLATION LEVEL SERIALIZABLE; ROLLBACK", "BEGIN ROLLBACK I"},
		{"its own clock", "SELECT now() = statement_timestamp()", "=t SELECT 1 I"},
		{"failed", "SELECT 1/0", "22012 I"},
		{"failed in a block", "BEGIN; SELECT 1/0", "BEGIN 22012 E"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, statements := range [][]string{toAlice, toAlice[1:], toAlice[:1]} {
				w := dialServer(t, c)
				tags, who := "", "=alice"
				for _, sql := range statements {
					tag, _, _ := strings.Cut(sql, " ROLE")
					tags += tag + " "
				}
				if len(statements) == 1 {
					who = "=px"
				}
				w.prefix(statements...)
				w.query(tt.sql)
				w.want(1, strings.Replace(tags+tt.want, "=alice", who, 1))
				w.query("ROLLBACK")
				w.query("SELECT current_user")
				w.answers(1)
				w.want(1, who+" SELECT 1 I")
			}
		})
	}
}

// TestSwitchUnnamed: the unnamed statement is the prefix's, and no portal is left.
func TestSwitchUnnamed(t *testing.T) {
	c := testpg.Start(t, pgtest.Options{})
	if err := c.Exec(t.Context(), "postgres", switchRoles); err != nil {
		t.Fatal(err)
	}
	for _, statements := range [][]string{toAlice, toAlice[:1]} {
		w := dialServer(t, c)
		w.prefix(statements...)
		w.SendExecute(&pgproto3.Execute{})
		w.SendSync(&pgproto3.Sync{})
		if got := w.answers(1); !strings.HasSuffix(got, " 34000 I") {
			t.Errorf("the portal is left: %s", got)
		}
		w.prefix(statements...)
		w.SendClose(&pgproto3.Close{ObjectType: 'S'})
		w.SendBind(&pgproto3.Bind{})
		w.SendSync(&pgproto3.Sync{})
		if got := w.answers(1); !strings.HasSuffix(got, " 26000 I") {
			t.Errorf("the statement is left: %s", got)
		}
	}
}

// TestSwitchFailsClosed: whatever fails of the prefix, nothing behind it is executed before a Sync.
func TestSwitchFailsClosed(t *testing.T) {
	c := testpg.Start(t, pgtest.Options{})
	if err := c.Exec(t.Context(), "postgres", switchRoles); err != nil {
		t.Fatal(err)
	}
	admin := superConn(t, c)
	for _, tt := range []struct {
		name, leave, want string
		statements        []string
		revoked           bool
		during            func(*switchWire)
	}{
		{name: "no member", statements: toAlice, revoked: true, want: "DISCARD ALL BEGIN 42501 E"},
		{name: "no member, the same identity", statements: toAlice[1:], revoked: true, want: "BEGIN 42501 E"},
		{name: "no such role", statements: []string{"DISCARD ALL", "BEGIN", "SET ROLE nobody", "COMMIT"}, want: "DISCARD ALL BEGIN 22023 E"},
		{name: "syntax", statements: []string{"DISCARD ALL", "BEGN", "SET ROLE alice", "COMMIT"}, want: "DISCARD ALL 42601 I"},
		{name: "timeout", statements: toAlice, leave: "SET statement_timeout = '20ms'", want: "57014 I", during: func(*switchWire) {}},
		{name: "cancelled", statements: toAlice, leave: "SELECT 1", want: "57014 I", during: func(w *switchWire) {
			waitFor(t, admin, fmt.Sprintf("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %d", w.pid), "t")
			exec(t, admin, fmt.Sprintf("SELECT pg_cancel_backend(%d)", w.pid))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := dialServer(t, c)
			w.query("SET ROLE bob")
			w.query("CREATE TEMP TABLE held (n int)")
			w.answers(2)
			if tt.leave != "" {
				w.query(tt.leave)
				w.answers(1)
			}
			if tt.during != nil { // DISCARD ALL waits for bob's temporary table
				other := superConn(t, c)
				schema := ask(t, other, "SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'held'")
				exec(t, other, "BEGIN; LOCK TABLE "+schema+".held")
				defer closeConn(other)
			}
			if tt.revoked {
				exec(t, admin, "REVOKE alice FROM px")
				defer exec(t, admin, "GRANT alice TO px")
			}
			w.prefix(tt.statements...)
			w.query("INSERT INTO witness SELECT current_user")
			w.query("SET ROLE none")
			w.prefix("INSERT INTO witness SELECT current_user")
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if tt.during != nil {
				tt.during(w)
			}
			w.SendSync(&pgproto3.Sync{})
			w.want(1, tt.want)
			wantAnswer(t, admin, "SELECT count(*) FROM witness", "0")
		})
	}
}

func superConn(t testing.TB, c *pgtest.Cluster) *pgx.Conn {
	t.Helper()
	return connect(t, c.SuperuserURL("postgres"))
}

// waitFor asks until the answer is want.
func waitFor(t testing.TB, conn *pgx.Conn, sql, want string) {
	t.Helper()
	for ctx := deadline(t); ; {
		got, err := tryAsk(ctx, conn, sql)
		if got == want {
			return
		}
		if ctx.Err() != nil || err != nil && ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("%s: %q, %v", sql, got, err)
		}
	}
}
