package session

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// fakePG is one PostgreSQL session after its login: it executes the protocol as src/backend/tcop/postgres.c does (which
// error comes first, what an error skips, what a transaction's end drops, when a parameter is reported, what a copy
// swallows) over a handful of statements (fakesql_test.go). It is deterministic: what it answers is a function of the bytes
// that it was sent. So one that a client talks to directly says what the client must get through pgtier.
type fakePG struct {
	in  []byte
	out []byte

	status   byte // as ReadyForQuery says
	inTx     bool // explicit or not
	skipping bool // ignore_till_sync
	died     bool
	batch    bool // something of the extended protocol has been executed, and no Sync or simple query since
	refuses  bool // a FunctionCall in a batch, as pgtier does; else that spoils the session, as with PostgreSQL 18
	spoiled  bool

	statements map[string]fakeStatement
	portals    map[string]*fakePortal
	copying    *fakeCopy
	copies     int // how many have begun

	initial  map[string]string // what RESET goes back to
	settings map[string]string
	before   map[string]string // as the transaction began
	local    map[string]bool   // set by SET LOCAL
	reported map[string]string

	revoked map[string]bool     // roles that SET ROLE refuses
	watch   func(fakeStatement) // is told what is executed; nil = nobody
	strike  bool                // the next message fails, as if it had been cancelled
}

type fakePortal struct {
	statement fakeStatement
	rows      []string // still to come
	started   bool
}

// fakeCopy is COPY FROM STDIN under way.
type fakeCopy struct {
	extended bool
	rows     int
	then     []fakeStatement // of the same simple query
}

func newFakePG(startup map[string]string) *fakePG {
	pg := &fakePG{status: wire.Idle, statements: map[string]fakeStatement{}, portals: map[string]*fakePortal{}, local: map[string]bool{}}
	pg.initial = maps.Clone(fakeDefaults)
	for name, value := range startup {
		pg.initial[name] = canonical(name, value)
	}
	pg.settings = maps.Clone(pg.initial)
	pg.reported = maps.Clone(pg.initial)
	return pg
}

// reports returns the ParameterStatus of a login.
func (pg *fakePG) reports() map[string]string {
	all := map[string]string{}
	for lower, shown := range fakeReported {
		all[shown] = pg.settings[lower]
	}
	return all
}

// serve executes at most n whole messages of what it has been sent, and reports whether there was one.
func (pg *fakePG) serve(n int) (any bool) {
	for ; n > 0 && !pg.died && len(pg.in) >= wire.HeaderSize; n-- {
		typ, size, ok := wire.Header(pg.in)
		if !ok {
			pg.die("invalid message length")
			return true
		}
		if len(pg.in) < size {
			return any
		}
		body := pg.in[wire.HeaderSize:size:size]
		pg.in = pg.in[size:]
		pg.message(typ, body)
		any = true
	}
	return any
}

func (pg *fakePG) die(why string) {
	pg.out = appendError(pg.out, true, pgerr.ProtocolViolation, why, "")
	pg.died = true
}

// message is PostgresMain's switch.
func (pg *fakePG) message(typ byte, body []byte) {
	if pg.copying != nil {
		pg.copyMessage(typ, body)
		return
	}
	if pg.skipping && typ != wire.Sync && typ != wire.Terminate {
		return
	}
	var failed *fakeError
	if pg.strike && (typ == wire.Query || typ == wire.Parse || typ == wire.Bind || typ == wire.Execute) {
		pg.strike = false
		pg.start()
		pg.fail(&fakeError{pgerr.QueryCanceled, "canceling statement due to user request"})
		pg.batch = typ != wire.Query
		if pg.skipping = pg.batch; !pg.skipping {
			pg.ready()
		}
		return
	}
	switch typ {
	case wire.Query:
		pg.batch = false
		pg.query(body)
		return
	case wire.Function:
		pg.function()
		return
	case wire.Sync:
		pg.skipping, pg.batch = false, false
		pg.finish()
		pg.ready()
		return
	case wire.Terminate:
		pg.died = true
		return
	case wire.Flush, wire.CopyData, wire.CopyDone, wire.CopyFail:
		return
	}
	pg.batch = true
	switch typ {
	case wire.Parse:
		failed = pg.parse(body)
	case wire.Bind:
		failed = pg.bind(body)
	case wire.Describe:
		failed = pg.describe(body)
	case wire.Execute:
		failed = pg.execute(body)
	case wire.Close:
		pg.close(body)
	default:
		pg.die(fmt.Sprintf("invalid frontend message type %d", typ))
		return
	}
	if failed != nil {
		pg.fail(failed)
		pg.skipping = true
	}
}

func (pg *fakePG) say(frames ...byte) {
	for _, typ := range frames {
		pg.out = wire.AppendEmpty(pg.out, typ)
	}
}

// fail is what elog.c and the error handler of PostgresMain do: the message, and the transaction is aborted.
func (pg *fakePG) fail(e *fakeError) {
	pg.out = appendError(pg.out, false, e.code, e.text, "")
	if pg.inTx {
		pg.settings = pg.before
		pg.before = nil
		clear(pg.local)
	}
	pg.inTx = false
	clear(pg.portals)
	if pg.status == wire.InTx {
		pg.status = wire.FailedTx
	}
}

// start begins a transaction unless there is one.
func (pg *fakePG) start() {
	if !pg.inTx && pg.status != wire.FailedTx {
		pg.inTx = true
		pg.before = maps.Clone(pg.settings)
	}
}

// finish commits a transaction that nobody began.
func (pg *fakePG) finish() {
	if pg.status == wire.Idle && pg.inTx {
		pg.commit()
	}
}

func (pg *fakePG) commit() {
	for name := range pg.local {
		pg.settings[name] = pg.before[name]
	}
	clear(pg.local)
	clear(pg.portals)
	pg.inTx, pg.before, pg.status = false, nil, wire.Idle
}

// ready reports the parameters that have changed, then ReadyForQuery.
func (pg *fakePG) ready() {
	for _, name := range slices.Sorted(maps.Keys(fakeReported)) {
		if value := pg.settings[name]; pg.reported[name] != value {
			pg.reported[name] = value
			pg.out = wire.AppendParameterStatus(pg.out, fakeReported[name], value)
		}
	}
	pg.out = wire.AppendReadyForQuery(pg.out, pg.status)
}

func (pg *fakePG) function() {
	if pg.batch && pg.refuses {
		pg.refused(errFunctionInBatch)
		return
	}
	pg.spoiled = pg.spoiled || pg.batch
	if pg.status == wire.FailedTx {
		pg.fail(errAborted)
	} else {
		pg.start()
		pg.out = frame(pg.out, wire.FunctionCallResponse, 0xff, 0xff, 0xff, 0xff)
		pg.finish()
	}
	pg.ready()
}

// refused is what pgtier makes of a request: a simple query that fails with an error of its own.
func (pg *fakePG) refused(e *pgerr.Error) {
	pg.batch = false
	delete(pg.statements, "")
	pg.start()
	at := len(pg.out)
	pg.fail(&fakeError{})
	pg.out = e.Append(pg.out[:at])
	pg.ready()
}

func (pg *fakePG) query(body []byte) {
	delete(pg.statements, "")
	pg.start()
	text, _, _ := wire.CString(body)
	list, failed := parseFake(string(text))
	if failed != nil {
		pg.fail(failed)
		pg.ready()
		return
	}
	if len(list) == 0 {
		pg.say(wire.EmptyQueryResponse)
	}
	pg.run(list)
}

// run executes the statements of a simple query; a copy interrupts it.
func (pg *fakePG) run(list []fakeStatement) {
	for i, st := range list {
		pg.start()
		if failed := pg.allowed(st); failed != nil {
			pg.fail(failed)
			pg.ready()
			return
		}
		if rows := st.columns(); rows {
			pg.rowDescription(st)
		}
		failed := pg.effect(st, false)
		if pg.copying != nil {
			pg.copying.then = list[i+1:]
			return
		}
		if failed == nil {
			failed = pg.rows(pg.result(st), st.tag)
		}
		if failed != nil {
			pg.fail(failed)
			pg.ready()
			return
		}
	}
	pg.finish()
	pg.ready()
}

func (pg *fakePG) rowDescription(st fakeStatement) {
	column := "c"
	if st.kind == "show" {
		column = st.arg
	}
	pg.out = frame(pg.out, 'T', 0, 1, column, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
}

func (pg *fakePG) rows(values []string, tag string) *fakeError {
	for _, v := range values {
		pg.out = dataRow(pg.out, strings.Split(v, "\x00")...)
	}
	if values != nil {
		tag = fmt.Sprintf("%s %d", tag, len(values))
	}
	if tag != "" {
		pg.out = wire.AppendCommandComplete(pg.out, tag)
	}
	return nil
}

func (pg *fakePG) parse(body []byte) *fakeError {
	name, text := strings2(body)
	pg.start()
	if name == "" {
		delete(pg.statements, "")
	}
	list, failed := parseFake(text)
	if failed != nil {
		return failed
	}
	if len(list) > 1 {
		return &fakeError{"42601", "cannot insert multiple commands into a prepared statement"}
	}
	st := fakeStatement{kind: "empty"}
	if len(list) == 1 {
		st = list[0]
		if failed := pg.allowed(st); failed != nil {
			return failed
		}
	}
	if _, taken := pg.statements[name]; taken {
		return &fakeError{pgerr.DuplicatePrepared, fmt.Sprintf("prepared statement %q already exists", name)}
	}
	pg.statements[name] = st
	pg.say(wire.ParseComplete)
	return nil
}

func (pg *fakePG) statement(name string) (fakeStatement, *fakeError) {
	st, ok := pg.statements[name]
	switch {
	case ok:
		return st, nil
	case name == "":
		return st, &fakeError{pgerr.InvalidStatementName, "unnamed prepared statement does not exist"}
	}
	return st, &fakeError{pgerr.InvalidStatementName, fmt.Sprintf("prepared statement %q does not exist", name)}
}

func (pg *fakePG) bind(body []byte) *fakeError {
	portal, name := strings2(body)
	pg.start()
	st, failed := pg.statement(name)
	if failed != nil {
		return failed
	}
	if st.kind == "empty" && pg.status == wire.FailedTx {
		return errAborted
	}
	if failed := pg.allowed(st); failed != nil {
		return failed
	}
	if pg.portals[portal] != nil && portal != "" {
		return &fakeError{"42P03", fmt.Sprintf("cursor %q already exists", portal)}
	}
	pg.portals[portal] = &fakePortal{statement: st}
	pg.say(wire.BindComplete)
	return nil
}

func (pg *fakePG) describe(body []byte) *fakeError {
	name, _ := strings2(body[1:])
	pg.start()
	var st fakeStatement
	if body[0] == 'P' {
		p := pg.portals[name]
		if p == nil {
			return noPortal(name)
		}
		st = p.statement
	} else {
		var failed *fakeError
		if st, failed = pg.statement(name); failed != nil {
			return failed
		}
		if pg.status == wire.FailedTx {
			return errAborted // PostgreSQL lets those pass that return no rows: the one liberty taken here
		}
		pg.out = frame(pg.out, 't', 0, 0)
	}
	if st.columns() {
		pg.rowDescription(st)
	} else {
		pg.say(wire.NoData)
	}
	return nil
}

func noPortal(name string) *fakeError {
	return &fakeError{"34000", fmt.Sprintf("portal %q does not exist", name)}
}

func (pg *fakePG) execute(body []byte) *fakeError {
	name, rest, _ := wire.CString(body)
	limit := int(binary.BigEndian.Uint32(rest))
	pg.start()
	p := pg.portals[string(name)]
	if p == nil {
		return noPortal(string(name))
	}
	if p.statement.kind == "empty" {
		pg.say(wire.EmptyQueryResponse)
		return nil
	}
	if failed := pg.allowed(p.statement); failed != nil {
		return failed
	}
	if !p.started {
		p.started = true
		if failed := pg.effect(p.statement, true); failed != nil || pg.copying != nil {
			return failed
		}
		p.rows = pg.result(p.statement)
	} else if p.rows == nil {
		return &fakeError{"55000", fmt.Sprintf("portal %q cannot be run", name)}
	}
	if limit > 0 && p.rows != nil && len(p.rows) >= limit {
		for _, v := range p.rows[:limit] {
			pg.out = dataRow(pg.out, v)
		}
		p.rows = p.rows[limit:]
		pg.say(wire.PortalSuspended)
		return nil
	}
	failed := pg.rows(p.rows, p.statement.tag)
	p.rows = p.rows[:0:0]
	if p.statement.columns() {
		p.rows = []string{}
	} else {
		p.rows = nil
	}
	return failed
}

func (pg *fakePG) close(body []byte) {
	name, _ := strings2(body[1:])
	pg.start()
	if body[0] == 'P' {
		delete(pg.portals, name)
	} else {
		delete(pg.statements, name)
	}
	pg.say(wire.CloseComplete)
}

// copyMessage is what src/backend/commands/copyfromparse.c reads.
func (pg *fakePG) copyMessage(typ byte, body []byte) {
	var failed *fakeError
	switch typ {
	case wire.CopyData:
		pg.copying.rows++
		if strings.Contains(string(body), "bad") {
			failed = &fakeError{"22P02", "invalid input syntax for type integer: \"bad\""}
		}
	case wire.CopyFail:
		why, _, _ := wire.CString(body)
		failed = &fakeError{pgerr.QueryCanceled, "COPY from stdin failed: " + string(why)}
	case wire.CopyDone:
		c := pg.copying
		pg.copying = nil
		pg.out = wire.AppendCommandComplete(pg.out, fmt.Sprintf("COPY %d", c.rows))
		if !c.extended {
			pg.run(c.then)
		}
	case wire.Flush, wire.Sync:
	default:
		pg.die(fmt.Sprintf("unexpected message type 0x%02X during COPY from stdin", typ))
	}
	if failed != nil {
		pg.copyFailed(failed)
	}
}

func (pg *fakePG) copyFailed(failed *fakeError) {
	extended := pg.copying.extended
	pg.copying = nil
	pg.fail(failed)
	if extended {
		pg.skipping = true
	} else {
		pg.ready()
	}
}
