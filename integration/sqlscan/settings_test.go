package sqlscan

import (
	"testing"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// settingTexts set settings. Where PostgreSQL takes them, another session must get to the same values by what Settings says.
var settingTexts = []string{
	"SET search_path = a, \"B c\" , 'd''e', \"f,g\"", "SET search_path TO 'a, b'", "SET SCHEMA 'a, b'", "SELECT set_config('search_path', 'a, \"B c\"', false)",
	"SET TIME ZONE 'Europe/Zurich'", "SET TIME ZONE -7", "SET TIME ZONE 5.5", "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "SET TIME ZONE LOCAL",
	"SET TIME ZONE DEFAULT", "SET TIME ZONE UTC", "SET TIMEZONE TO 'UTC'", "set Timezone = -3", "RESET TIME ZONE",
	"SET NAMES 'latin1'", "SET NAMES", "SET NAMES DEFAULT", "SET client_encoding TO 'LATIN9'", "SET CLIENT_ENCODING = DEFAULT",
	"SET DateStyle = ISO, DMY", "SET DateStyle TO 'SQL, YMD'", "SET datestyle = \"postgres\"", "SET IntervalStyle = 'iso_8601'",
	"SET work_mem = '7MB'", "SET work_mem = 7000", "SET work_mem TO DEFAULT", "RESET work_mem", "SET SESSION statement_timeout = 1000.4",
	"SET statement_timeout TO '90s' -- tail", "SET /* a */ statement_timeout /* b */ = /* c */ '1min' /* d */", "SET seq_page_cost = 1.5e0",
	"SET cpu_tuple_cost = .5", "SET random_page_cost = +3", "SET enable_seqscan = off", "SET enable_seqscan TO FALSE", "SET enable_seqscan = 0",
	"SET XML OPTION DOCUMENT", "SET xmloption = content", "SET bytea_output = E'esc\\x61pe'", "SET application_name = U&'\\0061\\00e9'",
	"SET application_name = $$it's; SET x$$", "SET application_name TO 'a'\n'b'", "SET application_name = Foo", "SET application_name = \"Foo\"",
	"SET application_name = ''", "SET APPLICATION_NAME = N'x'", "SET \"application_name\" TO abc", "SET U&\"applic\\0061tion_name\" = x",
	"SET my.var = 'x'", "SET My.\"Var\" = 'x, y'", "SET \"my.var2\" = 1", "SET my . var3 /* */ = on", "SELECT set_config('my.var', E'it\\'s', false)",
	"SELECT pg_catalog.set_config('My.Var', U&'\\00e9', FALSE) AS x, set_config('work_mem', '3MB', false)", "SELECT set_config('work_mem', NULL, false)",
	"SELECT set_config('transaction_isolation', 'serializable', false)", "SET transaction_isolation = 'serializable'",
	"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE, DEFERRABLE",
	"SET SESSION CHARACTERISTICS AS TRANSACTION NOT DEFERRABLE READ WRITE", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
	"SET default_transaction_isolation TO 'repeatable read'", "SET default_transaction_read_only = on", "SET LOCAL work_mem = '5MB'",
	"SET LOCAL TIME ZONE 'UTC'", "SELECT set_config('work_mem', '5MB', true)", "SET extra_float_digits = -2", "SET session_replication_role = replica",
	"SET ROLE bob", "SET ROLE 'alice'", "SET \"role\" TO bob", "SET role = none", "SET SESSION AUTHORIZATION px", "RESET ROLE",
	"SET standard_conforming_strings = off", "SET escape_string_warning = off", "SET backslash_quote = on", "SET geqo_seed = 0.5",
	"SET temp_tablespaces = ''", "SET lc_messages = 'C'", "SET default_text_search_config = 'pg_catalog.simple'", "SET search_path = ''", "SET search_path = \"\"",
}

// values are all settings of a session that are not at their defaults or have been made up.
const values = `SELECT string_agg(name || '=' || setting, E'\n' ORDER BY name) FROM pg_catalog.pg_settings
	WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')`

// custom are the settings that pg_settings does not have on PostgreSQL 15.
const custom = `SELECT concat_ws('/', current_setting('my.var', true), current_setting('my.var2', true), current_setting('my.var3', true),
	current_setting('role'), session_user)`

func TestSettings(t *testing.T) {
	s := start(t)
	taken := 0
	for _, sql := range settingTexts {
		a, b := s.connect(t), s.connect(t)
		if o := a.run(sql); o.code != "" {
			t.Logf("%s: %v", sql, o.err())
			continue
		}
		taken++
		r := sqlscan.NewReader([]byte(sql))
		r.Next()
		st := r.Statement()
		xs, ok := st.Settings(nil)
		if !ok {
			t.Errorf("%s: cannot be followed", sql)
		}
		for _, x := range xs {
			if !x.Local {
				b.must(string(x.AppendSet(nil)))
			}
		}
		for _, state := range []string{values, custom} {
			if want, got := a.must(state).row[0], b.must(state).row[0]; got != want {
				t.Errorf("%s\nleads to %q\nrepeated  %q", sql, want, got)
			}
		}
		_, _ = a.Conn.Close(), b.Conn.Close()
	}
	if taken < len(settingTexts)*8/10 {
		t.Errorf("only %d of %d texts were taken", taken, len(settingTexts))
	}
}
