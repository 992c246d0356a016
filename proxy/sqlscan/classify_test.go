package sqlscan

import "testing"

func TestClassify(t *testing.T) {
	tests := []struct {
		sql   string
		count int
		first Kind
		does  Effects
	}{
		{"", 0, Empty, 0},
		{" ;;-- x\n/* ; */;", 0, Empty, 0},
		{"select 1", 1, Select, 0},
		{"((SELECT 1) UNION (TABLE t))", 1, Select, 0},
		{"SELECT 1; SELECT 2;", 2, Select, 0},
		{"with x as (delete from t returning *) select * from x", 1, Select, 0},
		{"MERGE INTO temp USING s ON true WHEN MATCHED THEN DELETE", 1, Modify, 0},
		{"BEGIN", 1, Begin, 0},
		{"begin isolation level serializable, read write", 1, Begin, ReadWrite},
		{"START TRANSACTION READ ONLY", 1, Begin, 0},
		{"BEGIN ISOLATION LEVEL READ COMMITTED", 1, Begin, 0},
		{"COMMIT AND CHAIN", 1, Commit, 0},
		{"END", 1, Commit, 0},
		{"commit prepared 'x'", 1, FinishPrepared, 0},
		{"ROLLBACK WORK", 1, Rollback, 0},
		{"ABORT", 1, Rollback, 0},
		{"ROLLBACK TRANSACTION TO SAVEPOINT a", 1, RollbackTo, 0},
		{"PREPARE TRANSACTION 'x'", 1, PrepareTransaction, 0},
		{"PREPARE transaction AS SELECT 1", 1, Prepare, Prepares},
		{"SET TRANSACTION READ WRITE", 1, SetTransaction, ReadWrite},
		{"SET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE", 1, SetTransaction, 0},
		{"SET CONSTRAINTS ALL DEFERRED", 1, SetConstraints, 0},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", 1, Set, ReadWrite},
		{"LISTEN a; UNLISTEN *", 2, Listen, Listens},
		{"LOAD 'x'", 1, Load, Loads},
		{"DO $$ begin end $$", 1, Do, 0},
		{"CALL p()", 1, Call, 0},
		{"COPY (SELECT set_config('a.b', 'c', true)) TO STDOUT", 1, Copy, 0},
		{"VACUUM", 1, Vacuum, 0},
		{"FETCH ALL FROM c", 1, Fetch, 0},
		{"ALTER ROLE a SET role = 'b'", 1, AlterRole, 0},
		{"ALTER USER MAPPING FOR a SERVER s OPTIONS (SET x 'y')", 1, Other, 0},
		{"ALTER USER a PASSWORD 'x'", 1, AlterRole, 0},
		{"ALTER DATABASE d SET search_path = x", 1, AlterDatabase, 0},
		{"ALTER SYSTEM SET x = 1", 1, AlterSystem, 0},
		{"ALTER ROUTINE f() SET role = 'b'", 1, AlterRoutine, 0},

		{"CREATE TEMP TABLE t(x int)", 1, CreateTemp, TempObject},
		{"create or replace temporary view v as select 1", 1, CreateTemp, TempObject},
		{"CREATE LOCAL TEMP SEQUENCE s", 1, CreateTemp, TempObject},
		{"CREATE GLOBAL TEMPORARY TABLE t()", 1, CreateTemp, TempObject},
		{"CREATE TABLE pg_temp.t()", 1, Other, TempObject},
		{`CREATE TABLE "pg_temp_3".t()`, 1, Other, TempObject},
		{"SELECT 1 AS a INTO TEMP t", 1, Select, TempObject},
		{"SELECT 1 AS a INTO LOCAL TEMPORARY TABLE t", 1, Select, TempObject},
		{"INSERT INTO temp VALUES (1)", 1, Modify, 0},
		{"SELECT temp FROM t", 1, Select, 0},
		{`SELECT "temp" INTO x`, 1, Select, 0},
		{"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", 1, Explain, TempObject},
		{"SET search_path = public, pg_temp", 1, Set, 0},
		{"SET search_path = pg_temp, public", 1, Set, TempObject},
		{"SELECT set_config('search_path', 'pg_temp,public', true)", 1, Select, TempObject},
		{"DISCARD TEMP", 1, Discard, 0},

		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", 1, Declare, HoldsCursor},
		{"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1 AS hold", 1, Declare, 0},
		{"DECLARE c NO SCROLL CURSOR FOR WITH hold AS (SELECT 1) TABLE hold", 1, Declare, 0},

		{"SELECT pg_advisory_lock(1)", 1, Select, AdvisoryLock},
		{"SELECT LASTVAL()", 1, Select, SequenceValues},
		{"INSERT INTO t VALUES (pg_catalog.\"currval\" /* of */ ('s'))", 1, Modify, SequenceValues},
		{"SELECT U&\"last\\0076al\"()", 1, Select, SequenceValues},
		{"SELECT lastval, t.currval, nextval('s') FROM t", 1, Select, 0},
		{"PREPARE p AS SELECT currval($1)", 1, Prepare, SequenceValues | Prepares},
		{`SELECT pg_catalog."pg_try_advisory_lock_shared"(1)`, 1, Select, AdvisoryLock},
		{`SELECT U&"pg\005fadvisory_lock"(1)`, 1, Select, AdvisoryLock},
		{"SELECT pg_advisory_xact_lock(1), 'pg_advisory_lock'", 1, Select, 0},
		{"SELECT pg_advisory_unlock_all()", 1, Select, AdvisoryUnlock},

		{"PREPARE p(int) AS SELECT $1", 1, Prepare, Prepares},
		{"EXECUTE p(1)", 1, Execute, UsesPrepared},
		{"EXPLAIN (ANALYZE, COSTS off) EXECUTE p(1)", 1, Explain, UsesPrepared},
		{"CREATE TABLE t AS EXECUTE p", 1, Other, UsesPrepared},
		{"CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", 1, Other, 0},

		{"SELECT query_to_xml('select 1', true, true, '')", 1, Select, RunsText},
		{"SET client_encoding = 'UTF8'", 1, Set, 0},
		{"SET NAMES 'latin1'", 1, Set, 0},
		{"SET NAMES", 1, Set, 0},
		{"SET NAMES 'sjis'", 1, Set, UnsafeEncoding},
		{"SET CLIENT_ENCODING TO gbk", 1, Set, UnsafeEncoding},
		{"RESET client_encoding", 1, Reset, 0},
		{"SET standard_conforming_strings = off", 1, Set, PlainEscapes},
		{"SET standard_conforming_strings = 'ON'", 1, Set, 0},
		{"SET standard_conforming_strings = 0 -- on", 1, Set, PlainEscapes},
		{"SET default_transaction_read_only TO off", 1, Set, ReadWrite},
		{"SET default_transaction_read_only TO tru", 1, Set, 0},
		{"SET default_transaction_read_only TO DEFAULT", 1, Set, 0},
		{"SET LOCAL transaction_read_only = E'\\x6ff'", 1, Set, ReadWrite},
		{"SELECT set_config('Transaction_Read_Only', 'off', true)", 1, Select, ReadWrite},

		{"CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY a; NOTIFY b); SELECT 1", 2, Other, 0},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 3", 2, CreateRoutine, 0},
		{"CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT t.end, 1 AS end, 2 end; END", 1, CreateRoutine, 0},
		{"CREATE PROCEDURE p() BEGIN ATOMIC END; SELECT 1", 2, CreateRoutine, 0},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT begin atomic FROM t; END; SET ROLE bob", 2, CreateRoutine, Role},
		{"CREATE PROCEDURE p() BEGIN ATOMIC CREATE OR REPLACE FUNCTION q() BEGIN ATOMIC SELECT 1; END; SELECT 2; END; SELECT 3", 2, CreateRoutine, 0},
		{"CREATE PROCEDURE p() BEGIN ATOMIC CREATE VIEW v AS SELECT begin atomic; END; SELECT 3", 2, CreateRoutine, 0},
		{"CREATE FUNCTION begin(atomic int) RETURNS int AS $$ BEGIN ATOMIC $$; SELECT 1", 2, CreateRoutine, 0},
		{"CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1;", 1, CreateRoutine, CannotLex},
		{"SELECT begin atomic FROM t; SELECT 2", 2, Select, 0},

		{"SELECT (1; SET ROLE bob", 1, Select, CannotLex},
		{"SELECT 1); SET ROLE bob", 2, Select, CannotLex | Role},
		{"SELECT 'x", 1, Select, CannotLex},
		{"SELECT /* /* */", 1, Select, CannotLex},
		{"SELECT 1\x00; SET ROLE bob", 1, Select, CannotLex},
		{"SELECT 'a\x00'", 1, Select, CannotLex},
		{"\x00", 0, Empty, CannotLex},
		{`SELECT ""`, 1, Select, CannotLex},
		{`SELECT U&"\00"`, 1, Select, CannotLex},
		{"SELECT '\x95\x5c'", 1, Select, NotUTF8},
		{"nonsense 'SET ROLE bob'", 1, Other, 0},
		{"'SET ROLE bob'", 1, Other, 0},
	}
	for _, tt := range tests {
		got := Classify([]byte(tt.sql))
		if got.Count != tt.count || got.First != tt.first || got.Does != tt.does {
			t.Errorf("%s\n got %d, %v, %q\nwant %d, %v, %q", tt.sql,
				got.Count, got.First, got.Does, tt.count, tt.first, tt.does)
		}
		if got.Count > 0 && !got.Kinds.Has(got.First) || got.Kinds.Has(Empty) {
			t.Errorf("%s: kinds %b", tt.sql, got.Kinds)
		}
	}
}

func TestInner(t *testing.T) {
	tests := []struct {
		sql         string
		kind, inner Kind
		name        string
	}{
		{"EXPLAIN SELECT 1", Explain, Select, ""},
		{"EXPLAIN ANALYZE VERBOSE EXECUTE foo(1)", Explain, Execute, "foo"},
		{"EXPLAIN (ANALYZE, BUFFERS) INSERT INTO t VALUES (1)", Explain, Modify, ""},
		{"EXPLAIN (SELECT 1) UNION SELECT 2", Explain, Select, ""},
		{"EXPLAIN EXPLAIN SELECT 1", Explain, Other, ""},
		{"PREPARE foo (int, text) AS UPDATE t SET role = $1", Prepare, Modify, "foo"},
		{"PREPARE foo AS EXECUTE bar", Prepare, Execute, "foo"},
		{"PREPARE foo", Prepare, Empty, "foo"},
	}
	for _, tt := range tests {
		r := NewReader([]byte(tt.sql))
		r.Next()
		if st := r.Statement(); st.Kind != tt.kind || st.Inner != tt.inner || st.Name() != tt.name || st.Does&Role != 0 {
			t.Errorf("%s: %v, %v, %q, %q", tt.sql, st.Kind, st.Inner, st.Name(), st.Does)
		}
	}
}

func TestSafeEncoding(t *testing.T) {
	for _, name := range []string{"", "UTF8", "utf-8", "Unicode", "LATIN1", "ISO_8859_15", "win1252", "EUC_JIS_2004", "SQL_ASCII", "koi8-r"} {
		if !SafeEncoding(name) {
			t.Errorf("%q is safe", name)
		}
	}
	for _, name := range []string{"SJIS", "Shift_JIS", "SHIFT_JIS_2004", "mskanji", "big5", "gbk", "win936", "UHC", "GB18030", "johab", "-", "win932"} {
		if SafeEncoding(name) {
			t.Errorf("%q is not safe", name)
		}
	}
}
