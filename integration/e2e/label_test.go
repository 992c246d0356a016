package e2e

import (
	"fmt"
	"net/url"
	osexec "os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// shownAs is what the server has for a session: its own row, as any operator sees it.
const shownAs = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"

func TestLabel(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	alice := connect(t, p.DSN("alice", "application_name=psql"))
	ops := connect(t, p.DSN("ops"))
	for range 3 { // two identities over one connection
		wantAnswer(t, alice, shownAs, "alice/ro: psql")
		wantAnswer(t, alice, "SHOW application_name", "psql")
		wantAnswer(t, ops, shownAs, "ops/ro")
		wantAnswer(t, ops, "SHOW application_name", "")
	}
	for _, c := range []struct{ name, shown, label string }{
		{"two", "two", "alice/ro: two"},
		{"ops/ro: fake", "ops/ro: fake", "alice/ro: ops/ro: fake"},
		{strings.Repeat("n", 70), strings.Repeat("n", 63), "alice/ro: " + strings.Repeat("n", 53)},
		{"", "", "alice/ro"},
		{"alice/ro: read by current_setting", "read by current_setting", "alice/ro: read by current_setting"},
	} {
		exec(t, alice, fmt.Sprintf("SET application_name = '%s'", c.name))
		wantAnswer(t, alice, shownAs, c.label)
		wantAnswer(t, alice, "SHOW application_name", c.shown)
		if got := alice.PgConn().ParameterStatus("application_name"); got != c.shown {
			t.Errorf("reported %q after SET %q", got, c.name)
		}
	}
	for _, sql := range []string{"RESET ALL", "DISCARD ALL", "RESET application_name", "SET application_name TO DEFAULT"} {
		exec(t, alice, "SET application_name = 'else'") // behind another identity
		if got := alice.PgConn().ParameterStatus("application_name"); got != "else" {
			t.Errorf("reported %q behind another identity", got)
		}
		wantAnswer(t, ops, "SELECT 1", "1")
		exec(t, alice, sql)
		if got := alice.PgConn().ParameterStatus("application_name"); got != "psql" {
			t.Errorf("%s: reported %q", sql, got)
		}
		wantAnswer(t, alice, shownAs, "alice/ro: psql")
		wantAnswer(t, alice, "SHOW application_name", "psql")
		wantAnswer(t, ops, shownAs, "ops/ro")
	}
	name := strings.Repeat("é", 40)
	long := connect(t, p.DSN("alice", "application_name="+name))
	label := ask(t, long, shownAs)
	if own := ask(t, long, "SHOW application_name"); own == name || own == "" || len(label) > 63 || !strings.HasPrefix(label, "alice/ro: "+own[:9]) {
		t.Errorf("%q is %q with label %q", name, own, label)
	}
}

func TestLabelOfPsql(t *testing.T) {
	psql, err := osexec.LookPath("psql")
	if err != nil {
		t.Skip("no psql")
	}
	p := harness.Start(t, harness.Options{})
	out, err := osexec.CommandContext(deadline(t), psql, "-XAtd", p.DSN("alice"), "-c", "SHOW application_name", "-c", shownAs).CombinedOutput()
	if got := strings.Fields(strings.ReplaceAll(string(out), ": ", ":")); err != nil || strings.Join(got, " ") != "psql alice/ro:psql" {
		t.Errorf("%s %v", out, err)
	}
}

// TestLabelIsNotSeen: whatever a client does with its application_name, frame by frame it gets from pgtier what it gets from
// PostgreSQL, in transaction mode and in session mode, whether it waits for answers or not.
func TestLabelIsNotSeen(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1", "rw": `size = 1, mode = "session"`}})
	for _, name := range []string{"", "psql", strings.Repeat("n", 63), strings.Repeat("n", 80), "naïve"} {
		for _, pipelined := range []bool{false, true} {
			want := scriptOf(t, p.Cluster.URL(p.EPMT.RO.Name, p.EPMT.RO.Password, p.EPMT.Database), name, pipelined)
			for _, who := range []string{"ingest~ro", "ingest~rw"} {
				got := scriptOf(t, p.DSN(who), name, pipelined)
				for i := range want {
					if got[i] != want[i] {
						t.Errorf("%q as %s, pipelined %v, step %d %s\n got %s\nwant %s", name, who, pipelined, i, labelScript[i], got[i], want[i])
					}
				}
			}
		}
	}
}

// labelScript is what a client does: simple queries, and in the extended protocol what begins with "e:". What begins with "w:"
// is not done by one that does not wait: pipelined behind RESET, the login's own name cannot be told from what RESET left.
var labelScript = strings.Split(strings.TrimSpace(`
SHOW application_name
e:SHOW application_name
SET application_name = 'one'
SHOW application_name
e:SHOW application_name
BEGIN; SET LOCAL application_name = 'local'; SHOW application_name
SHOW application_name
COMMIT
SHOW application_name
BEGIN
SET application_name TO 'gone'
e:show application_name
SAVEPOINT a
SET application_name TO 'more'
ROLLBACK TO a
SHOW application_name
ROLLBACK
SHOW application_name
SET application_name = 'undone'; SELECT 1/0
SHOW application_name
e:SET application_name = 'extended'
e:SHOW application_name
RESET application_name
SHOW application_name
SELECT set_config('application_name', 'by call', false)
SHOW application_name
SELECT set_config('application_name', 'local call', true)
BEGIN; RESET application_name; SHOW application_name
SHOW application_name
ROLLBACK
SHOW application_name
SET application_name = 'a'; SHOW application_name; SELECT 'x' AS application_name; RESET application_name; SHOW application_name
SET application_name = E'tab\there'
SHOW application_name
SET application_name = 'naïve — name'
SHOW application_name
SET application_name = 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
SHOW application_name
e:RESET application_name
SHOW application_name
SET application_name = 'before reset all'
RESET ALL
SHOW application_name
SET application_name = 'before discard all'
DISCARD ALL
SHOW application_name
w:SET application_name = ''
SHOW application_name
DISCARD ALL
e:SHOW application_name
BEGIN
SET application_name = 'failed'
SELECT 1/0
SHOW application_name
ROLLBACK
SHOW application_name
`), "\n")

// scriptOf runs labelScript as a client called name and returns, for each step, the frames that answered it.
func scriptOf(t *testing.T, dsn, name string, pipelined bool) []string {
	t.Helper()
	h := testpg.Hijack(t, dsn, map[string]string{"application_name": name})
	defer h.Conn.Close() // the next one is to have its server
	out := make([]string, len(labelScript))
	for i, step := range labelScript {
		if later, waits := strings.CutPrefix(step, "w:"); waits {
			if step = later; pipelined {
				step = "SELECT 'left out'"
			}
		}
		if sql, extended := strings.CutPrefix(step, "e:"); extended {
			h.Frontend.Send(&pgproto3.Parse{Name: "", Query: sql})
			h.Frontend.Send(&pgproto3.Bind{})
			h.Frontend.Send(&pgproto3.Describe{ObjectType: 'P'})
			h.Frontend.Send(&pgproto3.Execute{})
			h.Frontend.Send(&pgproto3.Sync{})
		} else {
			h.Frontend.Send(&pgproto3.Query{String: step})
		}
		if !pipelined {
			flush(t, h.Frontend)
			out[i] = answer(t, h.Frontend)
		}
	}
	if pipelined {
		flush(t, h.Frontend)
		for i := range out {
			out[i] = answer(t, h.Frontend)
		}
	}
	out[0] = h.ParameterStatuses["application_name"] + " " + out[0]
	return out
}

func flush(t *testing.T, f *pgproto3.Frontend) {
	t.Helper()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
}

// answer describes the frames up to ReadyForQuery.
func answer(t *testing.T, f *pgproto3.Frontend) string {
	t.Helper()
	var b strings.Builder
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.ParameterStatus:
			fmt.Fprintf(&b, "%s=%q ", m.Name, m.Value)
		case *pgproto3.RowDescription:
			fmt.Fprintf(&b, "columns:%q ", m.Fields[0].Name)
		case *pgproto3.DataRow:
			fmt.Fprintf(&b, "row:%q ", m.Values)
		case *pgproto3.CommandComplete:
			fmt.Fprintf(&b, "%s ", m.CommandTag)
		case *pgproto3.ErrorResponse:
			fmt.Fprintf(&b, "error:%s ", m.Code)
		case *pgproto3.ReadyForQuery:
			return fmt.Sprintf("%sready:%c", b.String(), m.TxStatus)
		default:
			fmt.Fprintf(&b, "%T ", m)
		}
	}
}

// TestLabelOfLogin: a name that the login has is that of clients which give none.
func TestLabelOfLogin(t *testing.T) {
	for mode, label := range map[string]string{"label": "alice/ro: batch", "client": "batch"} {
		t.Run(mode, func(t *testing.T) {
			p := harness.Start(t, harness.Options{Tiers: map[string]string{
				"ro": fmt.Sprintf("application_name = %q\nsettings = { application_name = \"batch\" }", mode),
			}})
			named, conn := connect(t, p.DSN("alice", "application_name=psql")), connect(t, p.DSN("alice"))
			wantAnswer(t, named, "SHOW application_name", "psql")
			for _, sql := range []string{
				"SELECT 1", "SET application_name = 'x'; RESET application_name", "RESET ALL", "DISCARD ALL", "BEGIN; SET application_name = 'x'; ROLLBACK",
			} {
				exec(t, conn, sql)
				wantAnswer(t, conn, "SHOW application_name", "batch")
				wantAnswer(t, conn, shownAs, label)
				if got := conn.PgConn().ParameterStatus("application_name"); got != "batch" {
					t.Errorf("%s: reported %q", sql, got)
				}
			}
		})
	}
}

// TestIdentityIsNotASCII: in the label it is written so that no two look alike, in the setting as it is.
func TestIdentityIsNotASCII(t *testing.T) {
	const name = `Ür'su\la`
	p := harness.Start(t, harness.Options{
		Tiers: map[string]string{"ro": "identity_setting = true"}, Env: map[string]string{"URSULA": "secret"},
		More: fmt.Sprintf("[identities.%q]\npassword = { env = \"URSULA\" }\n[[grants]]\nto = %[1]q\ndatabase = \"EPMT\"\ntiers = [\"ro\"]", name),
	})
	for _, encoding := range []string{"UTF8", "LATIN1", "SJIS"} {
		conn := connect(t, p.DSNFor(url.UserPassword(name, "secret"), p.EPMT.Database, "application_name=psql", "client_encoding="+encoding))
		wantAnswer(t, conn, "SELECT convert_to(current_setting('pgtier.identity'), 'UTF8') = decode('"+fmt.Sprintf("%x", name)+"', 'hex')", "t")
		wantAnswer(t, conn, shownAs, `\xc3\x9cr'su\la/ro: psql`)
	}
}

// TestLabelOff: application_name = "client" leaves the name alone.
func TestLabelOff(t *testing.T) {
	p := harness.Start(t, harness.Options{Tiers: map[string]string{"ro": `application_name = "client"`}})
	conn := connect(t, p.DSN("alice", "application_name=psql"))
	wantAnswer(t, conn, shownAs, "psql")
	exec(t, conn, "SET application_name = 'two'")
	wantAnswer(t, conn, shownAs, "two")
	exec(t, conn, "RESET application_name")
	wantAnswer(t, conn, shownAs, "psql")
	wantAnswer(t, conn, "SELECT coalesce(current_setting('pgtier.identity', true), 'none')", "none")
}

func TestIdentitySetting(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			p := harness.Start(t, harness.Options{
				Pools: map[string]string{"ro": fmt.Sprintf("size = 1, mode = %q", mode)}, Tiers: map[string]string{"ro": "identity_setting = true"},
			})
			const whose = "SELECT current_setting('pgtier.identity') || '/' || current_setting('pgtier.tier')"
			for range 2 {
				for _, who := range []string{"alice", "ops", "ingest~ro"} {
					conn := connect(t, p.DSN(who))
					name, _, _ := strings.Cut(who, "~")
					keepsItsLabel(t, conn, mode == "transaction", whose, name+"/ro")
					closeConn(conn)
				}
			}
		})
	}
}

func keepsItsLabel(t *testing.T, conn *pgx.Conn, pooled bool, whose, want string) {
	t.Helper()
	wantAnswer(t, conn, whose, want)
	for _, sql := range []string{
		"SET pgtier.identity = 'bob'", "SET LOCAL pgtier.tier = 'admin'", "RESET pgtier.identity", `SET "pgtier"."identity" TO DEFAULT`,
		"SELECT set_config('pgtier.identity', 'bob', false)", "SELECT 1; SET pgtier.identity = 'bob'",
	} {
		_, err := conn.Exec(deadline(t), sql, pgx.QueryExecModeSimpleProtocol)
		wantError(t, err, "42501", "permission denied to set parameter")
		if !strings.Contains(sql, ";") {
			_, err = conn.Exec(deadline(t), sql, pgx.QueryExecModeExec)
			wantError(t, err, "42501", "permission denied to set parameter")
		}
		wantAnswer(t, conn, whose, want)
	}
	// As the documentation says, SQL can overwrite it: in transaction mode not for long, where pgtier knows that something may
	// have been set; and never for the next identity, which the loop above sees.
	exec(t, conn, "DO $$ BEGIN PERFORM set_config('pgtier.identity', 'bob', false); END $$")
	if pooled {
		wantAnswer(t, conn, whose, want)
	}
	for _, sql := range []string{"RESET ALL", "DISCARD ALL", "BEGIN; RESET ALL; ROLLBACK"} {
		exec(t, conn, sql)
		wantAnswer(t, conn, whose, want)
	}
}

// TestSessionEndIsLogged: the line at a session's end joins who it was, what it was on the server, and which process that was.
func TestSessionEndIsLogged(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}})
	conn := connect(t, p.DSN("alice"))
	pid := ask(t, conn, "SELECT pg_backend_pid()")
	closeConn(conn)
	harness.Eventually(t, "the session is in the log", func() bool { return p.Logs.FilterMessage("session ended").Len() > 0 })
	line := p.Logs.FilterMessage("session ended").All()[0].ContextMap()
	for field, want := range map[string]string{
		"identity": "alice", "tier": "ro", "role": "epmt-ro", "login": "epmt-ro", "database": "EPMT", "server_pid": pid, "reason": "client_terminated",
	} {
		if got := fmt.Sprint(line[field]); got != want {
			t.Errorf("%s = %q, want %q", field, got, want)
		}
	}
}
