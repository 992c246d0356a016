package sqlscan

import (
	"strings"
	"testing"
)

// describe writes settings as AppendSet does, Local ones with a star.
func describe(xs []Setting, ok bool) string {
	if !ok {
		return "?"
	}
	var out []string
	for _, x := range xs {
		s := string(x.AppendSet(nil))
		if x.Local {
			s += " *"
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestSettings(t *testing.T) {
	tests := []struct{ sql, name, want string }{
		{"SET a = b", "a", `SET "a" = b`},
		{"SET SESSION A TO 'x', \"Y\" , 3 -- z", "a", `SET "a" = 'x', "Y" , 3`},
		{`SET "Foo" . bar = -1.5e3`, "foo.bar", `SET "foo"."bar" = -1.5e3`},
		{"SET LOCAL a = on", "a", `SET "a" = on *`},
		{"SET a TO DEFAULT", "a", `RESET "a"`},
		{"SET a = 'default'", "a", `SET "a" = 'default'`},
		{"SET transaction_isolation = 'serializable'", "transaction_isolation", `SET "transaction_isolation" = 'serializable' *`},
		{"SET a FROM CURRENT", "a", "?"},
		{"SET session = 1", "session", `SET "session" = 1`},
		{"SET local TO 1", "local", `SET "local" = 1`},
		{"SET SESSION local.x = 1", "local.x", `SET "local"."x" = 1`},
		{"SET LOCAL session.x = 1", "session.x", `SET "session"."x" = 1 *`},
		{"SET time = 1", "time", `SET "time" = 1`},
		{"SET TIME ZONE 'UTC'", "timezone", `SET TIME ZONE 'UTC'`},
		{"SET LOCAL TIME ZONE INTERVAL '1' HOUR TO MINUTE", "timezone", `SET TIME ZONE INTERVAL '1' HOUR TO MINUTE *`},
		{"SET TIME ZONE LOCAL", "timezone", `RESET "timezone"`},
		{"SET TimeZone = local", "timezone", `SET "timezone" = local`},
		{"SET NAMES 'utf8'", "client_encoding", `SET "client_encoding" = 'utf8'`},
		{"SET NAMES", "client_encoding", `RESET "client_encoding"`},
		{"SET SCHEMA 'x'", "search_path", `SET "search_path" = 'x'`},
		{"SET XML OPTION DOCUMENT", "xmloption", `SET "xmloption" = DOCUMENT`},
		{"SET ROLE none", "role", `SET "role" = none`},
		{"SET SESSION AUTHORIZATION DEFAULT", "session_authorization", `RESET "session_authorization"`},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY NOT DEFERRABLE", "",
			`SET "default_transaction_isolation" = 'repeatable read'; SET "default_transaction_read_only" = on; SET "default_transaction_deferrable" = off`},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ WRITE", "",
			`SET "default_transaction_isolation" = 'read uncommitted'; SET "default_transaction_read_only" = off`},
		{"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "", ""},
		{"RESET Work_Mem", "work_mem", `RESET "work_mem"`},
		{"RESET TIME ZONE", "timezone", `RESET "timezone"`},
		{"RESET TRANSACTION ISOLATION LEVEL", "transaction_isolation", `RESET "transaction_isolation"`},
		{"RESET ALL", "all", ""},
		{"SHOW pgtier.tier", "pgtier.tier", ""},
		{"SHOW TIME ZONE", "timezone", ""},
		{"SHOW SESSION AUTHORIZATION", "session_authorization", ""},
		{"SELECT pg_catalog.set_config('search_path', '', false)", "", `SELECT pg_catalog.set_config('search_path', '', false)`},
		{"SELECT set_config('A','b,c',FALSE) AS x, set_config(E'd', NULL, false) y, set_config('e', $$f$$, true);", "",
			`SELECT pg_catalog.set_config('a', 'b,c', false); RESET "d"; SELECT pg_catalog.set_config('e', $$f$$, false) *`},
		{"SELECT set_config('a', $1, false)", "", "?"},
		{"SELECT set_config('a', 'b', false) FROM t", "", "?"},
		{"SELECT 1, set_config('a', 'b', false)", "", "?"},
		{"SELECT set_config('a', f(1, (2)), true)", "", ""},
		{"SELECT set_config('a', set_config('b', 'x', false), true)", "", "?"},
		{"EXPLAIN ANALYZE SELECT set_config('a', 'b', false)", "", "?"},
		{"SELECT 1", "", ""},
	}
	for _, tt := range tests {
		r := NewReader([]byte(tt.sql))
		if !r.Next() {
			t.Fatalf("%s: no statement", tt.sql)
		}
		st := r.Statement()
		if got := describe(st.Settings(nil)); got != tt.want || st.Name() != tt.name || !st.NameIs(tt.name) {
			t.Errorf("%s\n got %q, %s\nwant %q, %s", tt.sql, st.Name(), got, tt.name, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 62)
	tests := []struct {
		sql, name, span string
		all             bool
	}{
		{"EXECUTE Foo(1)", "foo", "Foo", false},
		{`EXECUTE "Foo""bar"`, `Foo"bar`, `"Foo""bar"`, false},
		{`DEALLOCATE U&"!0061!!" UESCAPE '!' ; x`, "a!", `U&"!0061!!" UESCAPE '!'`, false},
		{"DEALLOCATE PREPARE x", "x", "x", false},
		{"DEALLOCATE prepare", "prepare", "prepare", false},
		{"DEALLOCATE PREPARE ALL", "all", "ALL", true},
		{"DEALLOCATE all", "all", "all", true},
		{`DEALLOCATE "all"`, "all", `"all"`, false},
		{"CLOSE ALL", "all", "ALL", true},
		{"UNLISTEN *", "", "*", true},
		{"LISTEN Chan", "chan", "Chan", false},
		{"NOTIFY chan, 'payload'", "chan", "chan", false},
		{"DISCARD TEMPORARY", "temp", "TEMPORARY", false},
		{"DISCARD ALL", "all", "ALL", true},
		{"SAVEPOINT a", "a", "a", false},
		{"RELEASE SAVEPOINT a", "a", "a", false},
		{"RELEASE savepoint", "savepoint", "savepoint", false},
		{"ROLLBACK TO a", "a", "a", false},
		{"DECLARE c CURSOR FOR SELECT 1", "c", "c", false},
		{"EXECUTE " + long + "éy", long, long + "éy", false},
		{"EXECUTE " + long + "yy", long + "y", long + "yy", false},
		{"SHOW ALL", "all", "ALL", true},
	}
	for _, tt := range tests {
		r := NewReader([]byte(tt.sql))
		r.Next()
		st := r.Statement()
		from, to, ok := st.NameSpan()
		if st.Name() != tt.name && !st.All || st.All != tt.all || !ok || string(st.Text[from:to]) != tt.span {
			t.Errorf("%s: %q, %q, all %v", tt.sql, st.Name(), st.Text[from:to], st.All)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a'b": "'a''b'", `a\'b`: `E'a\\''b'`} {
		if got := string(QuoteLiteral(nil, in)); got != want {
			t.Errorf("QuoteLiteral(%q) = %s", in, got)
		}
	}
	for in, want := range map[string]string{"a": `"a"`, `A"b;`: `"A""b;"`} {
		if got := string(QuoteIdent([]byte("x"), in)); got != "x"+want {
			t.Errorf("QuoteIdent(%q) = %s", in, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a zero byte was quoted")
		}
	}()
	QuoteIdent(nil, "a\x00b")
}
