package roles

import (
	"slices"
	"strings"
)

// measure is something that PUBLIC may do by default and that a guarded tier must not, or had better not.
type measure struct {
	kind, privilege string
	objects         []string // functions as "name(types)" of pg_catalog; empty: said by change
	why             string
	escape          bool     // without it, SQL behind the guard reaches another identity or the login
	readers         bool     // a reader's notes say it too
	keep            []string // predefined roles that are made for it
}

// measures is what was closed when all the attacks on a guarded tier had failed: the guard refuses what stands at the top
// level of a statement, and these keep the same from being hidden below.
//
// Left out are EXECUTE on what PostgreSQL itself needs, and CONNECT, which is nothing without a password.
var measures = []measure{
	{kind: "FUNCTION", privilege: "EXECUTE", escape: true,
		why:     "set_config changes the role from inside any expression",
		objects: []string{"set_config(text,text,boolean)"}},
	{kind: "FUNCTION", privilege: "EXECUTE", escape: true,
		why: "these run a text as a query, where no lexer sees what it says",
		objects: []string{"query_to_xml(text,boolean,boolean,text)", "query_to_xmlschema(text,boolean,boolean,text)",
			"query_to_xml_and_xmlschema(text,boolean,boolean,text)", "ts_stat(text)", "ts_stat(text,text)", "ts_rewrite(tsquery,text)"}},
	{kind: "LANGUAGE", privilege: "USAGE", escape: true,
		why: "the body of a function or of DO hides any statement"},
	{kind: "DATABASE", privilege: "TEMPORARY", escape: true,
		why: "temporary objects stand in for others, and run their maker's code as whoever uses them"},
	{kind: "SCHEMA", privilege: "CREATE", escape: true,
		why: "objects in a schema that everybody searches stand in for others"},
	{kind: "TABLE", privilege: "SELECT", keep: []string{"pg_read_all_stats"},
		why: "the login may read the statements of all its identities"},
	{kind: "FUNCTION", privilege: "EXECUTE", keep: []string{"pg_read_all_stats"},
		why:     "the same, below the view",
		objects: []string{"pg_stat_get_activity(integer)", "pg_stat_get_backend_activity(integer)"}},
	{kind: "FUNCTION", privilege: "EXECUTE", keep: []string{"pg_signal_backend"},
		why:     "the login may end the sessions of all its identities",
		objects: []string{"pg_cancel_backend(integer)", "pg_terminate_backend(integer,bigint)"}},
	{kind: "FUNCTION", privilege: "EXECUTE", readers: true,
		why: "large objects are written with a right to read only, before PostgreSQL 18 in read-only transactions too",
		objects: []string{"lo_create(oid)", "lo_creat(integer)", "lo_from_bytea(oid,bytea)", "lo_put(oid,bigint,bytea)",
			"lo_open(oid,integer)", "lowrite(integer,bytea)", "lo_truncate(integer,integer)", "lo_truncate64(integer,bigint)",
			"lo_unlink(oid)"}},
	{kind: "FUNCTION", privilege: "EXECUTE", readers: true,
		why:     "notifications reach whoever listens (NOTIFY itself cannot be revoked)",
		objects: []string{"pg_notify(text,text)"}},
	{kind: "FUNCTION", privilege: "EXECUTE", readers: true,
		why:     "advisory locks hold up whoever uses them, and fill the table of all locks",
		objects: advisoryLocks()},
	{kind: "FUNCTION", privilege: "EXECUTE", readers: true,
		why: "these write WAL, or hold back the cleaning of dead rows",
		objects: []string{"pg_logical_emit_message(boolean,text,text)", "pg_logical_emit_message(boolean,text,bytea)", // before 17
			"pg_logical_emit_message(boolean,text,text,boolean)", "pg_logical_emit_message(boolean,text,bytea,boolean)",
			"pg_export_snapshot()"}},
}

func advisoryLocks() []string {
	out := []string{"pg_advisory_unlock_all()"}
	for _, name := range []string{"pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_unlock", "pg_advisory_unlock_shared",
		"pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
		"pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"} {
		out = append(out, name+"(bigint)", name+"(integer,integer)")
	}
	return out
}

// hardenedFunctions are all functions of measures, qualified, of every version.
func hardenedFunctions() (out []string) {
	for _, m := range measures {
		for _, f := range m.functions(0) {
			out = append(out, "pg_catalog."+f)
		}
	}
	return out
}

// functions are those of a major version; 0: of all.
func (m measure) functions(major int) []string {
	if m.kind != "FUNCTION" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.objects), func(f string) bool {
		old := strings.HasSuffix(f, "(boolean,text,text)") || strings.HasSuffix(f, "(boolean,text,bytea)")
		young := strings.HasSuffix(f, ",boolean)") && strings.HasPrefix(f, "pg_logical_emit_message")
		return major != 0 && (old && major >= 17 || young && major < 17)
	})
}

// change is one thing that hardening takes away from PUBLIC.
type change struct {
	measure
	object string // SQL: what REVOKE ... ON takes
}

// key names the change in the record that undoing goes by.
func (c change) key() string { return c.privilege + " ON " + c.object }

// changes are all changes for a major version and a database with some trusted languages.
func changes(major int, database string, languages []string) (out []change) {
	for _, m := range measures {
		switch m.kind {
		case "FUNCTION":
			for _, f := range m.functions(major) {
				out = append(out, change{m, "FUNCTION pg_catalog." + f})
			}
		case "LANGUAGE":
			for _, l := range languages {
				out = append(out, change{m, "LANGUAGE " + ident(l)})
			}
		case "DATABASE":
			out = append(out, change{m, "DATABASE " + ident(database)})
		case "SCHEMA":
			out = append(out, change{m, "SCHEMA " + ident("public")})
		case "TABLE":
			out = append(out, change{m, "TABLE pg_catalog.pg_stat_activity"})
		}
	}
	return out
}

// label names the object for people: functions without schema and types.
func (c change) label() string {
	name := strings.TrimPrefix(strings.TrimPrefix(c.object, "FUNCTION "), "pg_catalog.")
	if c.kind == "FUNCTION" {
		name, _, _ = strings.Cut(name, "(")
	}
	return name
}

// ofMeasure picks the changes of one measure.
func ofMeasure(list []change, m measure) (out []change) {
	for _, c := range list {
		if c.why == m.why {
			out = append(out, c)
		}
	}
	return out
}

// on writes "PRIVILEGE ON KIND object, ..." of changes of one measure.
func on(list []change) string {
	var names []string
	for _, c := range list {
		names = append(names, strings.TrimPrefix(c.object, c.kind+" "))
	}
	return list[0].privilege + " ON " + list[0].kind + " " + strings.Join(names, ", ")
}

// granted tells who has what changes are about, by key.
func granted(rows []privilege) map[string][]uint32 {
	out := map[string][]uint32{}
	for _, p := range rows {
		object := p.Kind + " " + p.Object
		if p.Kind != "FUNCTION" && p.Kind != "TABLE" {
			object = p.Kind + " " + ident(p.Object)
		}
		key := p.Privilege + " ON " + object
		out[key] = append(out[key], p.Grantee)
	}
	return out
}

// trusted are the languages among rows.
func trusted(rows []privilege) (out []string) {
	for _, p := range rows {
		if p.Kind == "LANGUAGE" && !slices.Contains(out, p.Object) {
			out = append(out, p.Object)
		}
	}
	slices.Sort(out)
	return out
}
