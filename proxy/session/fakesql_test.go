package session

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// The SQL of fakePG: what the property tests send, and what pgtier sends on its own account.

type fakeError struct{ code, text string }

var errAborted = &fakeError{pgerr.InFailedTransaction, "current transaction is aborted, commands ignored until end of transaction block"}

type fakeStatement struct {
	kind string
	tag  string
	arg  string
	more string
	is   bool
}

// fakeDefaults are the settings, fakeReported those that ParameterStatus tells.
var (
	fakeDefaults = map[string]string{"application_name": "", "datestyle": "ISO, MDY", "timezone": "UTC", "work_mem": "4MB", "role": "none"}
	fakeReported = map[string]string{"application_name": "application_name", "datestyle": "DateStyle", "timezone": "TimeZone"}
)

// canonical is the form in which a server shows a value.
func canonical(name, value string) string {
	if name == "datestyle" && !strings.Contains(value, ",") {
		return strings.ToUpper(value) + ", MDY"
	}
	return value
}

const literal = `(E?'(?:[^']|'')*')`

var fakeGrammar = []struct {
	kind string
	tag  string
	re   *regexp.Regexp
}{
	{"select", "SELECT", regexp.MustCompile(`^select (\d+)$`)},
	{"divide", "SELECT", regexp.MustCompile(`^select 1/0$`)},
	{"values", "SELECT", regexp.MustCompile(`^values (\d+)$`)},
	{"insert", "INSERT 0 1", regexp.MustCompile(`^insert$`)},
	{"begin", "BEGIN", regexp.MustCompile(`^(?i:begin)$`)},
	{"commit", "COMMIT", regexp.MustCompile(`^(?i:commit)$`)},
	{"rollback", "ROLLBACK", regexp.MustCompile(`^(?i:rollback)$`)},
	{"copyin", "", regexp.MustCompile(`^copy (\w+) from stdin$`)},
	{"copyout", "COPY 2", regexp.MustCompile(`^copy t to stdout$`)},
	{"set", "SET", regexp.MustCompile(`^(?i:set) ([\w."]+) (?i:to) ` + literal + `$`)},
	{"setrole", "SET", regexp.MustCompile(`^SET ROLE "?(\w+)"?$`)},
	{"setlocal", "SET", regexp.MustCompile(`^set local (\w+) to ` + literal + `$`)},
	{"setconfig", "SELECT", regexp.MustCompile(`^SELECT pg_catalog.set_config\(` + literal + `,(NULL|` + literal + `),false\)$`)},
	{"question", "SELECT", regexp.MustCompile(`^SELECT '[\w.]+'::pg_catalog.text, pg_catalog.current_setting|^SELECT pg_catalog.lower\(name\), NULL`)},
	{"reset", "RESET", regexp.MustCompile(`^(?i:reset) ([\w."]+)$`)},
	{"show", "SHOW", regexp.MustCompile(`^show (\w+)$`)},
	{"notice", "DO", regexp.MustCompile(`^notice$`)},
	{"deallocateall", "DEALLOCATE ALL", regexp.MustCompile(`^deallocate all$`)},
	{"deallocate", "DEALLOCATE", regexp.MustCompile(`^deallocate (\w+)$`)},
	{"discard", "DISCARD ALL", regexp.MustCompile(`^(?i:discard all)$`)},
}

var asked = regexp.MustCompile(`current_setting\('([\w.]+)', true\)`)

// parseFake splits and parses a text. All of it must be right for any of it to run.
func parseFake(text string) (list []fakeStatement, failed *fakeError) {
	for _, part := range splitFake(text) {
		st, ok := parseFakeStatement(part)
		if !ok {
			word, _, _ := strings.Cut(part, " ")
			return nil, &fakeError{"42601", fmt.Sprintf("syntax error at or near %q", word)}
		}
		list = append(list, st)
	}
	return list, nil
}

func parseFakeStatement(part string) (fakeStatement, bool) {
	for _, g := range fakeGrammar {
		m := g.re.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		st := fakeStatement{kind: g.kind, tag: g.tag}
		switch {
		case g.kind == "question":
			for _, m := range asked.FindAllStringSubmatch(part, -1) {
				st.arg += m[1] + " "
			}
			if _, list, ok := strings.Cut(part, "ANY (ARRAY["); ok {
				list, _, _ = strings.Cut(list, "]")
				st.more = strings.NewReplacer("'", "", ",", " ").Replace(list)
			}
		case len(m) > 2:
			st.arg, st.more = settingName(unquote(m[1])), unquote(m[2])
			st.is = m[2] != "NULL"
		case len(m) > 1:
			st.arg = settingName(m[1])
		}
		return st, true
	}
	return fakeStatement{}, false
}

func settingName(written string) string {
	return strings.ToLower(strings.ReplaceAll(written, `"`, ""))
}

func unquote(s string) string {
	escapes := strings.HasPrefix(s, "E'")
	if !escapes && !strings.HasPrefix(s, "'") {
		return s
	}
	s = strings.ReplaceAll(strings.Trim(strings.TrimPrefix(s, "E"), "'"), "''", "'")
	if escapes {
		s = strings.ReplaceAll(s, `\\`, `\`)
	}
	return s
}

// splitFake splits at semicolons outside quotes and drops what is empty.
func splitFake(text string) (parts []string) {
	quoted, from := false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == ';' && !quoted:
			if part := strings.TrimSpace(text[from:i]); part != "" {
				parts = append(parts, part)
			}
			from = i + 1
		case text[i] == '\'':
			quoted = !quoted
		}
	}
	return parts
}

// columns reports whether the statement returns rows.
func (st fakeStatement) columns() bool {
	switch st.kind {
	case "select", "divide", "values", "show", "setconfig", "question":
		return true
	}
	return false
}

// allowed is the check for a failed transaction.
func (pg *fakePG) allowed(st fakeStatement) *fakeError {
	if pg.status == wire.FailedTx && st.kind != "rollback" && st.kind != "commit" {
		return errAborted
	}
	return nil
}

// effect does what the statement does, but for its rows.
func (pg *fakePG) effect(st fakeStatement, extended bool) *fakeError {
	if pg.watch != nil {
		pg.watch(st)
	}
	switch st.kind {
	case "divide":
		return &fakeError{"22012", "division by zero"}
	case "begin":
		pg.status = wire.InTx
	case "commit", "rollback":
		pg.end(st.kind == "commit")
	case "set", "setlocal", "setconfig", "reset":
		pg.set(st)
	case "setrole":
		if pg.revoked[st.arg] {
			return &fakeError{pgerr.InsufficientPrivilege, "permission denied to set role"}
		}
		pg.settings["role"] = st.arg
	case "notice":
		pg.out = (&pgerr.Error{Severity: "NOTICE", Code: "00000", Message: "take note"}).AppendNotice(pg.out)
	case "copyin":
		return pg.copyIn(st, extended)
	case "copyout":
		pg.out = frame(pg.out, 'H', 0, 0, 1, 0, 0)
		pg.out = frame(frame(pg.out, 'd', "1\n"), 'd', "2\n")
		pg.say('c')
	case "deallocate":
		if _, failed := pg.statement(st.arg); failed != nil {
			return failed
		}
		delete(pg.statements, st.arg)
	case "deallocateall":
		pg.deallocateAll()
	case "discard":
		if pg.status != wire.Idle {
			return &fakeError{"25001", "DISCARD ALL cannot run inside a transaction block"}
		}
		pg.deallocateAll()
		pg.settings = maps.Clone(pg.initial)
		if extended {
			pg.commit() // at once, without a Sync: XACT_FLAGS_NEEDIMMEDIATECOMMIT
		}
	}
	return nil
}

// deallocateAll is DropAllPreparedStatements: the unnamed one stays.
func (pg *fakePG) deallocateAll() {
	maps.DeleteFunc(pg.statements, func(name string, _ fakeStatement) bool { return name != "" })
}

func (pg *fakePG) end(commit bool) {
	if !commit && pg.inTx {
		pg.settings = pg.before
		clear(pg.local)
	}
	if pg.before == nil {
		pg.before = maps.Clone(pg.settings)
	}
	pg.commit()
}

func (pg *fakePG) set(st fakeStatement) {
	value := canonical(st.arg, st.more)
	if st.kind == "reset" || st.kind == "setconfig" && !st.is {
		value = pg.initial[st.arg]
	}
	pg.settings[st.arg] = value
	if st.kind == "setlocal" {
		if pg.status == wire.InTx {
			pg.local[st.arg] = true
		} else {
			pg.settings[st.arg] = pg.before[st.arg] // "SET LOCAL can only be used in transaction blocks"
		}
	} else {
		delete(pg.local, st.arg)
	}
}

// copyIn begins COPY FROM STDIN. Some tables are forbidden, and one has a trigger that fails after the copy has begun.
func (pg *fakePG) copyIn(st fakeStatement, extended bool) *fakeError {
	if st.arg == "forbidden" {
		return &fakeError{pgerr.InsufficientPrivilege, "permission denied for table forbidden"}
	}
	pg.out = frame(pg.out, 'G', 0, 0, 1, 0, 0)
	pg.copies++
	if st.arg == "guarded" {
		return &fakeError{"P0001", "the trigger says no"}
	}
	pg.copying = &fakeCopy{extended: extended}
	return nil
}

// result returns the rows of a statement, nil when it is none that returns any.
func (pg *fakePG) result(st fakeStatement) []string {
	switch st.kind {
	case "select":
		return []string{st.arg}
	case "values":
		n, _ := strconv.Atoi(st.arg)
		rows := make([]string, 0, n)
		for i := range n {
			rows = append(rows, strconv.Itoa(i))
		}
		return rows
	case "show":
		return []string{pg.settings[st.arg]}
	case "setconfig":
		return []string{pg.settings[st.arg]}
	case "question":
		rows := []string{}
		for _, name := range strings.Fields(st.arg) {
			rows = append(rows, name+"\x00"+pg.settings[name])
		}
		for _, name := range strings.Fields(st.more) {
			if pg.settings[name] == pg.initial[name] {
				rows = append(rows, name+"\x00NULL")
			}
		}
		return rows
	}
	return nil
}
