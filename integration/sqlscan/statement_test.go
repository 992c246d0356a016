package sqlscan

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// templates are statements. In them a space is a gap, % any literal, @ a role, {x} the identifier x, [x] a literal that says x.
var templates = strings.Split(`
SELECT %
SELECT % , % AS {a;b}
SELECT $1$ ; $1$
SELECT 1 AS a$b$
SELECT ( % , % )
SELECT 1 * - 2 / 3
SELECT 1.5e3 , .5 , 1. , b'01' , x'1f' , n'a'
SELECT 'a' < 'b'
( SELECT 1 ) UNION ALL ( SELECT 2 )
VALUES ( % )
TABLE {t}
WITH {x} AS ( SELECT 1 ) SELECT 1 FROM {x}
INSERT INTO {temp} VALUES ( % )
INSERT INTO temp VALUES ( % )
UPDATE t SET role = %
UPDATE t SET {role} = @
DELETE FROM t WHERE x = %
SET {a} . {b} = %
SET SESSION a.b TO %
SET LOCAL a.b = %
SET application_name = %
SET ROLE @
SET SESSION ROLE @
SET LOCAL ROLE @
SET {role} = @
SET {role} TO @
SET SESSION {role} = @
SET role TO DEFAULT
SET ROLE NONE
RESET ROLE
RESET {role}
RESET ALL
SET SESSION AUTHORIZATION DEFAULT
SET {session_authorization} = {px}
RESET SESSION AUTHORIZATION
SELECT {set_config} ( [role] , [bob] , false )
SELECT pg_catalog . {set_config} ( [ROLE] , [alice] , false )
SELECT set_config ( [a.b] , % , false )
SELECT set_config ( 'ro' || 'le' , 'bob' , false )
SET {standard_conforming_strings} = off
SET {standard_conforming_strings} = on
SET {client_encoding} = [sjis]
SET NAMES [LATIN1]
SET TIME ZONE [UTC]
SET SCHEMA [public]
SET {search_path} = {public} , pg_temp
SET XML OPTION CONTENT
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
SET TRANSACTION READ WRITE
SET CONSTRAINTS ALL DEFERRED
SHOW ALL
SHOW {role}
SHOW TIME ZONE
BEGIN
BEGIN ISOLATION LEVEL REPEATABLE READ , READ WRITE
START TRANSACTION
COMMIT
END WORK
ROLLBACK
ABORT
SAVEPOINT {s}
RELEASE SAVEPOINT {s}
RELEASE {s}
ROLLBACK TO SAVEPOINT {s}
ROLLBACK TO {s}
PREPARE {p} AS SELECT %
PREPARE {p} ( text ) AS SELECT $1
EXECUTE {p}
EXECUTE {p} ( % )
EXPLAIN EXECUTE {p}
DEALLOCATE {p}
DEALLOCATE PREPARE {p}
DEALLOCATE ALL
DECLARE {c} CURSOR WITH HOLD FOR SELECT %
DECLARE {c} CURSOR FOR SELECT %
DECLARE {c} NO SCROLL CURSOR WITHOUT HOLD FOR WITH hold AS ( SELECT 1 ) TABLE hold
FETCH NEXT FROM {c}
CLOSE {c}
CLOSE ALL
LISTEN {ch;}
UNLISTEN *
UNLISTEN {ch;}
NOTIFY {ch;} , %
SELECT {pg_advisory_lock} ( 1 )
SELECT {pg_try_advisory_lock_shared} ( 1 , 2 )
SELECT {pg_advisory_unlock_all} ( )
SELECT pg_advisory_xact_lock ( 1 )
CREATE TEMP TABLE {tt} ( x int )
CREATE LOCAL TEMPORARY TABLE {tt} AS SELECT % AS x
CREATE OR REPLACE TEMP VIEW {tv} AS SELECT % AS x
CREATE TABLE {pg_temp} . {tt} ( x int )
SELECT 1 AS x INTO TEMP {tt}
SELECT 1 AS x INTO TEMPORARY TABLE {tt}
CREATE FUNCTION pg_temp . f ( ) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 ; SELECT CASE WHEN true THEN 1 END ; SELECT 1 AS end ; SELECT 2 end ; END
CREATE OR REPLACE FUNCTION pg_temp.f ( begin int ) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT begin atomic ; END
CREATE FUNCTION pg_temp.f ( ) RETURNS text LANGUAGE sql AS %
CREATE FUNCTION pg_temp.f ( ) RETURNS text LANGUAGE sql RETURN %
CREATE RULE r AS ON INSERT TO t DO ALSO ( DELETE FROM temp ; DELETE FROM temp ; )
COPY ( SELECT % ) TO STDOUT
COPY t FROM STDIN
EXPLAIN ( COSTS off ) SELECT %
EXPLAIN ANALYZE SELECT %
EXPLAIN ( SELECT % )
DO %
DO $$ BEGIN NULL ; END $$
VACUUM
DISCARD ALL
DISCARD TEMP
LOCK TABLE t
GRANT SELECT ON t TO bob
ALTER TABLE t ALTER role SET DEFAULT %
ALTER ROLE px SET a.b = %
COMMENT ON TABLE t IS %

 
`, "\n")

// statement spells one of the templates.
func (w writer) statement() string {
	var b strings.Builder
	for s := w.pick(templates...); s != ""; s = s[1:] {
		switch s[0] {
		case ' ':
			b.WriteString(w.gap())
		case '%':
			b.WriteString(w.literal(w.content()))
		case '@':
			b.WriteString(w.pick(w.name("bob"), w.literal("bob"), "alice", "'none'", w.literal("alice")))
		case '{':
			end := strings.IndexByte(s, '}')
			b.WriteString(w.name(s[1:end]))
			s = s[end:]
		case '[':
			end := strings.IndexByte(s, ']')
			b.WriteString(w.literal(s[1:end]))
			s = s[end:]
		default:
			b.WriteByte(s[0])
		}
	}
	return b.String()
}

func (w writer) text() string {
	var parts []string
	for range 1 + w.IntN(4) {
		parts = append(parts, w.statement())
	}
	sql := strings.Join(parts, w.pick(";", ";", "\n;", "; "))
	if w.IntN(3) == 0 {
		sql = w.mutate(sql)
	}
	return sql + w.pick("", ";", ";;", "-- ';", "; /* x */")
}

// TestGenerated runs texts that are made to mislead and compares what changed with what was announced.
func TestGenerated(t *testing.T) {
	const n = 5000
	s := start(t)
	c, w := s.connect(t), writer{rand.New(rand.NewPCG(1, 2))}
	codes := map[string]int{}
	for range n {
		o := c.compare(w.text())
		codes[o.code]++
	}
	if codes[""] < n/10 {
		t.Errorf("only %d of %d texts ran to their end: the generator is bad", codes[""], n)
	}
	keys := make([]string, 0, len(codes))
	for k := range codes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return codes[b] - codes[a] })
	for _, k := range keys[:min(8, len(keys))] {
		t.Logf("%5d texts ended with %q", codes[k], k)
	}
}
