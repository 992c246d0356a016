package doctor

import (
	"strings"
	"testing"

	"github.com/pgtier/pgtier/auth/roles"
)

func TestBrokenReaders(t *testing.T) {
	for _, b := range []broken{
		{name: "insert", sql: []string{`GRANT INSERT, TRUNCATE ON jobs, users TO "epmt-ro"`}, want: []string{"error ro ro-write"}},
		{name: "everybody deletes", sql: []string{`GRANT DELETE ON jobs TO PUBLIC`}, want: []string{"error ro ro-write"}},
		{name: "a column", sql: []string{`GRANT UPDATE (jobname), INSERT (jobname), REFERENCES (jobid) ON jobs TO "epmt-ro"`}, want: []string{"error ro ro-write"}},
		{name: "granted by somebody else",
			sql: []string{`GRANT UPDATE ON jobs TO "epmt-rw" WITH GRANT OPTION`, `SET ROLE "epmt-rw"`, `GRANT UPDATE ON jobs TO "epmt-ro"`, `RESET ROLE`},
			// Writing is the writer's anyway; this takes the option back.
			want: []string{"error ro ro-write"}, after: []string{`REVOKE GRANT OPTION FOR UPDATE ON jobs FROM "epmt-rw"`}},
		{name: "trigger by way of a group",
			sql:   []string{`CREATE ROLE team`, `GRANT team TO "epmt-ro"`, `GRANT TRIGGER ON jobs TO team`},
			want:  []string{"error ro ro-write", "warning ro role-unexpected"},
			after: []string{`DROP ROLE team`}},
		{name: "a hostile table",
			sql:  []string{`CREATE TABLE ` + hostile + ` (` + hostile + ` int)`, `ALTER TABLE ` + hostile + ` OWNER TO "epmt-admin"`, `GRANT UPDATE (` + hostile + `) ON ` + hostile + ` TO "epmt-ro"`},
			want: []string{"error ro ro-write"}, after: []string{`DROP TABLE ` + hostile}},
		{name: "a large object", sql: []string{`SELECT lo_create(4711)`, `GRANT UPDATE ON LARGE OBJECT 4711 TO "epmt-ro"`},
			want: []string{"error ro ro-write"}, after: []string{`SELECT lo_unlink(4711)`}},
		{name: "all large objects", sql: []string{`ALTER SYSTEM SET lo_compat_privileges = on`, `SELECT pg_reload_conf()`, `SELECT pg_sleep(0.2)`},
			want: []string{"error ro ro-write"}, after: []string{`ALTER SYSTEM RESET lo_compat_privileges`, `SELECT pg_reload_conf()`}},
		{name: "a sequence", sql: []string{`GRANT USAGE ON SEQUENCE processes_id_seq TO "epmt-ro"`}, want: []string{"error ro ro-sequence"}},
		{name: "a schema to create in", sql: []string{`GRANT CREATE ON SCHEMA public TO PUBLIC`}, want: []string{"error ro ro-create"}},
		{name: "new schemas", sql: []string{`GRANT CREATE ON DATABASE "EPMT" TO "epmt-ro"`}, want: []string{"error ro ro-create"}},
		{name: "temporary tables", sql: []string{`GRANT TEMPORARY ON DATABASE "EPMT" TO PUBLIC`}, want: []string{"error ro ro-temp"}},
		{name: "a table of its own", sql: []string{`CREATE TABLE mine ()`, `ALTER TABLE mine OWNER TO "epmt-ro"`},
			want: []string{"error ro ro-owns"}, after: []string{`DROP TABLE mine`}},
		{name: "a function with its owner's rights",
			sql:   []string{`CREATE FUNCTION wipe(a text, b int) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM public.jobs'`},
			want:  []string{"warning ro ro-definer-function"},
			after: []string{`DROP FUNCTION wipe(text, int)`}},
	} {
		t.Run(b.name, b.run)
	}
}

// A function with its owner's rights that somebody was granted was meant to be called.
func TestGrantedFunctionIsANote(t *testing.T) {
	c := newClinic(t)
	c.sql(`CREATE FUNCTION stamp() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT'`, `REVOKE EXECUTE ON FUNCTION stamp() FROM PUBLIC`,
		`GRANT EXECUTE ON FUNCTION stamp() TO "epmt-ro"`)
	defer c.sql(`DROP FUNCTION stamp()`)
	findings := c.examine()
	c.wantOnly(findings)
	if want := `"epmt-ro" may call "public"."stamp"(), which runs as its owner "postgres"`; !strings.Contains(text(findings), want) {
		t.Errorf("not noted: %s\n%s", want, text(findings))
	}
}

// What the notes say is true: hardening's REVOKEs take them away, and the tests of hardening see them come back.
func TestNotesHaveFixes(t *testing.T) {
	c := newClinic(t)
	h := roles.Hardening{Database: c.epmt.Database}
	conn, err := c.cluster.Connect(t.Context(), c.epmt.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var log strings.Builder
	if err := h.Apply(t.Context(), conn, &log); err != nil {
		t.Fatal(err)
	}
	notes := 0
	for _, f := range c.examine() {
		if f.Code == "ro-still-can" {
			notes++
		}
	}
	if notes != 1 { // NOTIFY and such, which no REVOKE reaches
		t.Errorf("%d notes are left", notes)
	}
	if err := h.Undo(t.Context(), conn, &log); err != nil {
		t.Fatal(err)
	}
}
