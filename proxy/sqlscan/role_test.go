package sqlscan

import (
	"strings"
	"testing"
)

// TestRole has the ways to change the role that are known, texts that hide them, and texts that only look like them.
func TestRole(t *testing.T) {
	refused := []string{
		"SET ROLE bob", "set role none", "SET ROLE 'none'", `SET ROLE "bob"`, "SET SESSION ROLE bob", "SET LOCAL ROLE bob",
		"SET role = bob", "SET role TO 'bob'", "SET ROLE TO DEFAULT", `SET "role" = 'bob'`, `SET "ROLE" TO bob`,
		`SET SESSION "role" TO bob`, `SET LOCAL "role" = bob`, `SET U&"\0072ole" = bob`, `SET U&"!0072ole" UESCAPE '!' = bob`,
		`SET U&"r\+00006Fle" TO bob`, `SET U&"#0072ole" /* x */ UESCAPE -- y` + "\n E'\\x23' TO bob", "SET/**/ROLE/**/bob", "SET -- x\nROLE bob", "SET--\rROLE bob",
		"SET\vROLE bob", "SET role FROM CURRENT", "RESET ROLE", `RESET "role"`, `RESET U&"rol\0065"`, "RESET/* */ROLE",
		"SET SESSION AUTHORIZATION bob", "SET SESSION AUTHORIZATION DEFAULT", "SET LOCAL SESSION AUTHORIZATION 'bob'",
		"SET SESSION SESSION AUTHORIZATION bob", "SET session_authorization = bob", `SET "session_authorization" TO DEFAULT`,
		"RESET SESSION AUTHORIZATION", "RESET session_authorization", `RESET "Session_Authorization"`,
		"SELECT set_config('role', 'bob', false)", "SELECT set_config('ROLE', 'none', true)", "SELECT set_config(E'r\\x6fle', 'bob', false)",
		"SELECT set_config(U&'\\0072ole', 'bob', false)", "SELECT set_config($$role$$, 'bob', false)", "SELECT set_config('ro'\n'le', 'bob', false)",
		`SELECT "set_config"('role', 'bob', false)`, `SELECT pg_catalog . set_config /**/ ( /**/ 'session_authorization', 'bob', false)`,
		`SELECT U&"set\005fconfig"('role', 'bob', false)`, "SELECT SET_CONFIG('role', NULL, false)",
		"EXPLAIN ANALYZE SELECT set_config('role', 'bob', false)", "COPY (SELECT set_config('role', 'bob', false)) TO STDOUT",
		"DECLARE c CURSOR WITH HOLD FOR SELECT set_config('role','bob',false)", "PREPARE x AS SELECT set_config('role', $1, false)",
		"CREATE TEMP VIEW v AS SELECT set_config('role','bob',false)", "PREPARE x AS SET ROLE bob", "EXPLAIN SET ROLE bob",
		"CREATE TABLE t(x int, y text default set_config('role','bob',false))",
		";;;SET ROLE bob;;", "SELECT 1; SET ROLE bob; SELECT 1/0", "/* /* */ SET ROLE bob; */ SET ROLE bob;",
		"SELECT E'a'\n'\\''; SET ROLE bob; --'", "SELECT E'a' -- it's\n '\\''; SET ROLE bob; --'", "select 1 as a$b$; SET ROLE bob; --$b$", "select $é$ x $é$; SET ROLE bob;",
		"SELECT $1$a$ $a$; SET ROLE bob", "SELECT 1$a$ $a$; SET ROLE bob", "SELECT 1e'\\''; SET ROLE bob; --'", "SELECT xe'\\'; SET ROLE bob; --'",
		"SELECT b'\\'; SET ROLE bob; --'", "SELECT N'\\'; SET ROLE bob; --'", "SELECT $a$ $b$ $$ $a$; SET ROLE bob", "SELECT '\\'; SET ROLE bob; --'",
		`SELECT "\"; SET ROLE bob; --"`, `SELECT "a"";" ; SET ROLE bob`, "select 1; -- x\r; SET ROLE bob", "SELECT 1 */* ; */; SET ROLE bob",
		"SELECT 1 @-- ;\n; SET ROLE bob", "SELECT 'a' 'b\\'; SET ROLE bob; --'",
		"CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SET ROLE bob;",
		"/*" + strings.Repeat("x", 1<<20) + "*/ SET ROLE bob;",
	}
	for _, sql := range refused {
		if got := Classify([]byte(sql)); got.Does&Role == 0 || got.Does&CannotLex != 0 {
			t.Errorf("%.200s: %q", sql, got.Does)
		}
	}
	opaque := []string{
		"SELECT set_config($1, $2, false)", "SELECT set_config(reverse('elor'), 'bob', false)", "SELECT set_config('ro'||'le', 'bob', false)",
		"SELECT set_config(setting_name => 'role', new_value => 'bob', is_local => false)", "SELECT set_config('role'::text, 'bob', false)",
		"SELECT set_config(('role'), 'bob', false)", "SELECT set_config(N'role', 'bob', false)", "SELECT set_config(VARIADIC x)",
		"CREATE AGGREGATE agg(text,bool)(sfunc=set_config,stype=text,initcond='role')", "SELECT set_config", `SELECT set_config(E'r\u006', 'b', false)`,
		"PREPARE x(text) AS SELECT set_config($1, 'bob', true)", "SELECT set_config(DISTINCT 'role', 'bob', false)",
	}
	for _, sql := range opaque {
		if got := Classify([]byte(sql)); got.Does&OpaqueSetting == 0 {
			t.Errorf("%s: %q", sql, got.Does)
		}
	}
	allowed := []string{
		"select 'x; SET ROLE bob';", "UPDATE t SET role = 'admin'", "EXPLAIN UPDATE t SET role = 'admin'", "SELECT role FROM t",
		"PREPARE p AS UPDATE users SET role = $1", "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET role = excluded.role",
		"SET role.x = 1", "SET my.role = 'x'", "SHOW role", "ALTER TABLE t ALTER role SET DEFAULT 'x'", "-- SET ROLE bob", "/* ; SET ROLE bob */",
		"SELECT $a$; SET ROLE bob; $a$", "SELECT E'\\'; SET ROLE bob; --'", `SELECT "; SET ROLE bob"`, "SELECT set_config('a.role', 'x', true)",
		"GRANT SELECT ON t TO role", "SET rolex = 1", `SET "role " = 1`, "SET application_name = 'role'", "SELECT U&'\\0027; SET ROLE bob; --'",
	}
	for _, sql := range allowed {
		if got := Classify([]byte(sql)); got.Does&(Role|OpaqueSetting|CannotLex) != 0 {
			t.Errorf("%s: %q", sql, got.Does)
		}
	}
}
