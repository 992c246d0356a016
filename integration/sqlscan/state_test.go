package sqlscan

import (
	"strings"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// probe asks for everything that an effect may change.
const probe = `SELECT pg_catalog.current_setting('role') || '/' || session_user,
	(SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql),
	(SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable),
	(SELECT count(*) FROM pg_catalog.pg_listening_channels()),
	(SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()),
	(SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema())
		+ (SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema()),
	pg_catalog.current_setting('default_transaction_read_only'),
	pg_catalog.current_setting('standard_conforming_strings'),
	pg_catalog.current_setting('client_encoding')`

// changes are the columns of probe: what a clean session has there, and the effects of which one must have been announced
// when it has something else.
var changes = []struct {
	clean string
	any   sqlscan.Effects
}{
	{"none/px", sqlscan.Role | sqlscan.OpaqueSetting | sqlscan.RunsText},
	{"0", sqlscan.Prepares},
	{"0", sqlscan.HoldsCursor},
	{"0", sqlscan.Listens},
	{"0", sqlscan.AdvisoryLock},
	{"0", sqlscan.TempObject},
	{"off", 0}, // the fixture's default is read-write, which nothing needs to announce
	{"on", sqlscan.PlainEscapes | sqlscan.OpaqueSetting},
	{"UTF8", 0}, // any other is checked below
}

// hidden are the kinds of statements that do things which their text does not say.
var hidden = sqlscan.KindsOf(sqlscan.Do, sqlscan.Call, sqlscan.CreateRoutine)

// compare runs a text, compares what PostgreSQL did with what Classify says, and leaves the session clean.
func (c *client) compare(sql string) outcome {
	c.t.Helper()
	sum := sqlscan.Classify([]byte(sql))
	o := c.run(sql)
	c.compareCount(sql, sum, o)
	if o.status != 'I' {
		c.run("COMMIT")
	}
	state := c.must(probe).row
	for i, want := range changes {
		if want.any != 0 && state[i] != want.clean && sum.Does&want.any == 0 && !sum.Kinds.Any(hidden) {
			c.t.Errorf("%q\nleaves %s instead of %s, announced: %q", sql, state[i], want.clean, sum.Does)
		}
	}
	if enc := state[len(state)-1]; !sqlscan.SafeEncoding(enc) && sum.Does&(sqlscan.UnsafeEncoding|sqlscan.OpaqueSetting) == 0 {
		c.t.Errorf("%q\nleaves the encoding %s, announced: %q", sql, enc, sum.Does)
	}
	c.must("DISCARD ALL")
	return o
}

func (c *client) compareCount(sql string, sum sqlscan.Summary, o outcome) {
	c.t.Helper()
	ran := len(o.tags)
	switch {
	case ran > sum.Count:
		c.t.Errorf("%q\n%d statements ran, counted %d", sql, ran, sum.Count)
	case o.code == "" && (ran != sum.Count || o.empty != (sum.Count == 0)):
		c.t.Errorf("%q\n%d statements ran (empty: %v), counted %d", sql, ran, o.empty, sum.Count)
	case sum.Does&sqlscan.CannotLex != 0 && (o.code == "" || ran > 0):
		c.t.Errorf("%q\nPostgreSQL runs what cannot be lexed", sql)
	}
	r := sqlscan.NewReader([]byte(sql))
	for _, tag := range o.tags {
		if !r.Next() {
			return
		}
		if st := r.Statement(); !tagFits(st.Kind, tag) {
			c.t.Errorf("%q\n%q has the tag %s, read as %v", sql, st.Text, tag, st.Kind)
		}
	}
}

// tags are the beginnings of the command tags of each kind. EXECUTE has the tag of what it runs.
var tags = map[sqlscan.Kind]string{
	sqlscan.Select: "SELECT,INSERT,UPDATE,DELETE", sqlscan.Modify: "INSERT,UPDATE,DELETE,MERGE", sqlscan.Begin: "BEGIN,START",
	sqlscan.Commit: "COMMIT,ROLLBACK", sqlscan.Rollback: "ROLLBACK", sqlscan.Savepoint: "SAVEPOINT", sqlscan.Release: "RELEASE",
	sqlscan.RollbackTo: "ROLLBACK", sqlscan.Set: "SET", sqlscan.SetTransaction: "SET", sqlscan.SetConstraints: "SET CONSTRAINTS",
	sqlscan.Reset: "RESET", sqlscan.Show: "SHOW", sqlscan.Discard: "DISCARD", sqlscan.Prepare: "PREPARE", sqlscan.Execute: "",
	sqlscan.Deallocate: "DEALLOCATE", sqlscan.Declare: "DECLARE", sqlscan.Fetch: "FETCH,MOVE", sqlscan.Close: "CLOSE",
	sqlscan.Listen: "LISTEN", sqlscan.Unlisten: "UNLISTEN", sqlscan.Notify: "NOTIFY", sqlscan.Load: "LOAD",
	sqlscan.CreateTemp: "CREATE,SELECT", sqlscan.CreateRoutine: "CREATE", sqlscan.AlterRoutine: "ALTER", sqlscan.AlterRole: "ALTER",
	sqlscan.AlterDatabase: "ALTER", sqlscan.AlterSystem: "ALTER", sqlscan.Copy: "COPY", sqlscan.Explain: "EXPLAIN",
	sqlscan.Do: "DO", sqlscan.Call: "CALL", sqlscan.Vacuum: "VACUUM", sqlscan.Other: "CREATE,ALTER,DROP,GRANT,REVOKE,LOCK,TRUNCATE,SELECT,CLUSTER,REFRESH,COMMENT,CHECKPOINT,REINDEX,ANALYZE,SECURITY,REASSIGN,IMPORT",
}

func tagFits(k sqlscan.Kind, tag string) bool {
	for prefix := range strings.SplitSeq(tags[k], ",") {
		if strings.HasPrefix(tag, prefix) {
			return true
		}
	}
	return false
}
