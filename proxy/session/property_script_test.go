package session

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/proxy/wire"
)

// scriptMaker makes up what a client sends. It asks a direct server as it goes on, whose answers are also what the client
// must get: so it knows when a copy has begun, in which only some messages may be sent.
type scriptMaker struct {
	rt     *rapid.T
	direct *fakePG
	reads  bool // the client reads all answers to an operation before the next
	extend bool // that is one of the extended protocol
	inCopy bool // it has not ended the copy that it is in, whether or not that has failed
	ops    []operation
	text   string
	bytes  []byte
}

func newScriptMaker(rt *rapid.T, direct *fakePG, reads bool) *scriptMaker {
	direct.refuses = true
	return &scriptMaker{rt: rt, direct: direct, reads: reads}
}

var (
	scriptTexts = []string{
		"select 1", "select 2", "select 3", "values 3", "insert", "select 1/0", "syntax error", "", "notice",
		"begin", "commit", "rollback", "copy t from stdin", "copy t to stdout", "copy forbidden from stdin", "copy guarded from stdin",
		"set datestyle to 'german'", "set datestyle to 'sql'", "set local datestyle to 'postgres'", "set timezone to 'Mars'",
		"set work_mem to '1MB'", `set application_name to 'it''s a \ here'`,
		"show datestyle", "show timezone", "show work_mem", "show application_name", "reset work_mem",
		"set local application_name to 'local'", "reset application_name", "show application_name",
	}
	scriptQueries = append([]string{
		"select 1; select 2", "select 1; select 1/0; select 2", "begin; select 7", "insert; syntax error", "copy t from stdin; select 4",
		"set timezone to 'Venus'; select 1/0", "deallocate a", "deallocate all", "commit; select 1", "discard all",
		"begin; reset application_name; show application_name", "set application_name to 'x'; show application_name; select 3",
	}, scriptTexts...)
	scriptNames   = []string{"", "a", "b", "c", "d"}
	scriptPortals = []string{"", "", "", "p"}
)

func (m *scriptMaker) pick(from []string, label string) string {
	return rapid.SampledFrom(from).Draw(m.rt, label)
}

// add appends a frame to the operation that is being made.
func (m *scriptMaker) add(frame []byte) {
	text, _ := describeFrames(frame, false)
	m.text += text + " "
	m.bytes = append(m.bytes, frame...)
	m.direct.in = append(m.direct.in, frame...)
	copies, alive := m.direct.copies, m.direct.copying != nil
	for m.direct.serve(1) {
	}
	switch {
	case m.inCopy && (frame[0] == 'c' || frame[0] == 'f'):
		m.inCopy = false
		forgets := alive && m.direct.copying == nil && !m.direct.skipping && rapid.IntRange(0, 5).Draw(m.rt, "forgets") == 0
		if m.extend && !forgets {
			m.sync() // as the documentation tells it to
		}
	case m.direct.copies > copies:
		m.inCopy, m.extend = true, frame[0] == 'E'
	}
}

// sql is the text of a simple query.
func (m *scriptMaker) sql() string { return m.pick(scriptQueries, "sql") }

func (m *scriptMaker) script() []operation {
	for range rapid.IntRange(1, 12).Draw(m.rt, "operations") {
		m.operation()
		m.cut()
	}
	m.tidy()
	m.cut()
	return m.ops
}

// cut ends the operation.
func (m *scriptMaker) cut() {
	m.ops = append(m.ops, operation{m.text, m.bytes, append([]byte(nil), m.direct.out...)})
	m.text, m.bytes = "", nil
}

func (m *scriptMaker) operation() {
	if m.direct.copying == nil && m.reads {
		m.inCopy = false // it has read that it failed
	}
	if m.inCopy {
		m.copyData()
		return
	}
	switch rapid.IntRange(0, 9).Draw(m.rt, "operation") {
	case 0, 1, 2, 3:
		m.add(wire.AppendQuery(nil, m.sql()))
	case 4:
		m.add(frame(nil, 'F', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))
	case 5:
		m.add(wire.AppendEmpty(nil, rapid.SampledFrom([]byte("Hcd")).Draw(m.rt, "stray")))
	case 6:
		m.usual()
	default:
		m.batch()
	}
}

// usual is what most drivers do most of the time.
func (m *scriptMaker) usual() {
	name, text := m.pick(scriptNames, "name"), m.pick(scriptTexts, "sql")
	m.parse(name, text)
	m.bind("", name)
	m.describe('P', "")
	m.execute("", 0)
	m.sync()
}

func (m *scriptMaker) batch() {
	for range rapid.IntRange(1, 8).Draw(m.rt, "messages") {
		if m.inCopy {
			m.copyData()
			return
		}
		m.message()
	}
	if rapid.IntRange(0, 9).Draw(m.rt, "sync") > 0 {
		m.sync()
	}
}

func (m *scriptMaker) message() {
	name := m.pick(scriptNames, "name")
	portal := m.pick(scriptPortals, "portal")
	switch rapid.IntRange(0, 12).Draw(m.rt, "message") {
	case 0, 1, 2:
		m.parse(name, m.pick(scriptTexts, "sql"))
	case 3, 4, 5:
		m.bind(portal, name)
	case 6:
		m.describe('S', name)
	case 7:
		m.describe('P', portal)
	case 8, 9:
		m.execute(portal, rapid.IntRange(0, 2).Draw(m.rt, "limit"))
	case 10:
		m.add(frame(nil, 'C', "S", name, 0))
	case 11:
		m.add(frame(nil, 'C', "P", portal, 0))
	case 12:
		m.add(wire.AppendEmpty(nil, 'H'))
	}
}

func (m *scriptMaker) parse(name, text string) { m.send(frame(nil, 'P', name, 0, text, 0, 0, 0)) }
func (m *scriptMaker) bind(portal, name string) {
	m.send(frame(nil, 'B', portal, 0, name, 0, 0, 0, 0, 0, 0, 0))
}
func (m *scriptMaker) describe(k byte, n string)    { m.send(frame(nil, 'D', string(k), n, 0)) }
func (m *scriptMaker) execute(portal string, n int) { m.send(frame(nil, 'E', portal, 0, 0, 0, 0, n)) }
func (m *scriptMaker) sync()                        { m.send(wire.AppendEmpty(nil, 'S')) }

// send adds a frame that is not for a copy.
func (m *scriptMaker) send(frame []byte) {
	for m.inCopy && frame[0] != 'S' {
		m.copyData()
	}
	m.add(frame)
}

// copyData sends something of a copy.
func (m *scriptMaker) copyData() {
	switch rapid.IntRange(0, 9).Draw(m.rt, "copy") {
	case 0:
		m.add(frame(nil, 'd', "bad"))
	case 1:
		m.add(frame(nil, 'f', "no more", 0))
	case 2:
		m.add(wire.AppendEmpty(nil, 'H'))
	case 3:
		m.add(wire.AppendEmpty(nil, 'S'))
	case 4, 5, 6:
		m.add(wire.AppendEmpty(nil, 'c'))
	default:
		m.add(frame(nil, 'd', fmt.Sprintln(rapid.IntRange(0, 9).Draw(m.rt, "row"))))
	}
}

// tidy ends what is open.
func (m *scriptMaker) tidy() {
	if m.inCopy {
		m.add(wire.AppendEmpty(nil, 'c'))
	}
	m.add(wire.AppendEmpty(nil, 'S'))
	m.add(wire.AppendQuery(nil, "rollback"))
}
