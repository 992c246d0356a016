package console

import (
	"encoding/binary"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// maxStatements bounds the prepared statements of one session. The caches of drivers hold 512 at most, and there are not that
// many commands.
const maxStatements = 1024

// statement is a prepared command.
type statement struct{ command *command } // nil: an empty text

// portal is a statement that is bound, and how far it has been fetched.
type portal struct {
	command *command
	formats []uint16
	started bool
	rows    [][]any // what is left of them
}

var errTruncated = pgerr.New(pgerr.ProtocolViolation, "insufficient data left in message")

// SQLSTATE codes that only the console sends.
const (
	noCursor        = "34000" // invalid_cursor_name
	duplicateCursor = "42P03"
	wrongState      = "55000" // object_not_in_prerequisite_state
)

// reader takes apart the body of a message; bad is set when there is less in it than there should be.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) string() string {
	s, rest, ok := wire.CString(r.b)
	if !ok {
		r.b, r.bad = nil, true
		return ""
	}
	r.b = rest
	return string(s)
}

func (r *reader) bytes(n int) []byte {
	if len(r.b) < n {
		r.b, r.bad = nil, true
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.bytes(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.bytes(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }

func (r *reader) uint16s() []uint16 {
	n := int(r.uint16())
	if n > len(r.b)/2 {
		r.bad = true
		return nil
	}
	list := make([]uint16, n)
	for i := range list {
		list[i] = r.uint16()
	}
	return list
}

// extended answers a message of the extended protocol. After an error everything up to Sync is passed over.
func (s *Session) extended(f frame) {
	r := &reader{b: f.body}
	var err *pgerr.Error
	switch f.typ {
	case wire.Parse:
		err = s.parse(r)
	case wire.Bind:
		err = s.bind(r)
	case wire.Describe:
		err = s.describe(r)
	case wire.Execute:
		err = s.execute(r)
	case wire.Close:
		err = s.closeTarget(r)
	default:
		e := violation("invalid frontend message type %d", f.typ)
		s.End(e.reason, e.err)
		return
	}
	if err != nil {
		s.fail(err)
		s.skip = true
	}
}

// parse prepares a statement. Parameters are not for commands: what a text with $1 in it means is a syntax error.
//
//	string name \0 | string text \0 | int16 count | int32 type ...
func (s *Session) parse(r *reader) *pgerr.Error {
	name, text := r.string(), r.string()
	if r.bad {
		return errTruncated
	}
	commands, err := parse([]byte(text))
	switch {
	case err != nil:
		return err
	case len(commands) > 1:
		return pgerr.New(syntaxError, "cannot insert multiple commands into a prepared statement")
	case name != "" && s.statements[name] != nil:
		return pgerr.New(pgerr.DuplicatePrepared, "prepared statement \"%s\" already exists", name)
	case len(s.statements) >= maxStatements:
		return pgerr.New(pgerr.ProgramLimitExceeded, "too many prepared statements on the console")
	}
	st := &statement{}
	if len(commands) == 1 {
		st.command = commands[0]
	}
	s.statements[name] = st
	s.out = wire.AppendEmpty(s.out, wire.ParseComplete)
	return nil
}

// bind makes a portal of a statement.
//
//	string portal \0 | string statement \0 | int16 count | int16 format ... | int16 count | { int32 length | bytes } ... | int16 count | int16 format ...
func (s *Session) bind(r *reader) *pgerr.Error {
	name, of := r.string(), r.string()
	_ = r.uint16s() // formats of parameters
	if n := r.uint16(); n > 0 && !r.bad {
		return pgerr.New(pgerr.ProtocolViolation, "bind message supplies %d parameters, but commands of the console take none", n)
	}
	formats := r.uint16s()
	st := s.statements[of]
	switch {
	case r.bad:
		return errTruncated
	case st == nil:
		return pgerr.New(pgerr.InvalidStatementName, "prepared statement \"%s\" does not exist", of)
	case name != "" && s.portals[name] != nil:
		return pgerr.New(duplicateCursor, "cursor \"%s\" already exists", name)
	case len(s.portals) >= maxStatements:
		return pgerr.New(pgerr.ProgramLimitExceeded, "too many portals on the console")
	}
	if n := len(st.columns()); len(formats) > 1 && len(formats) != n {
		return pgerr.New(pgerr.ProtocolViolation, "bind message has %d result formats but query has %d columns", len(formats), n)
	}
	for _, f := range formats {
		if f > 1 {
			return pgerr.New(pgerr.InvalidParameterValue, "unsupported format code: %d", f)
		}
	}
	s.portals[name] = &portal{command: st.command, formats: formats}
	s.out = wire.AppendEmpty(s.out, wire.BindComplete)
	return nil
}

// columns are those of the rows that the statement returns; nil when it returns none.
func (st *statement) columns() []column {
	if st.command == nil || st.command.show == nil {
		return nil
	}
	return st.command.show.columns
}

// describe tells what a statement or portal returns.
//
//	byte 'S' or 'P' | string name \0
func (s *Session) describe(r *reader) *pgerr.Error {
	kind, name := r.byte(), r.string()
	var columns []column
	var formats []uint16
	switch {
	case r.bad:
		return errTruncated
	case kind == 'S':
		st := s.statements[name]
		if st == nil {
			return pgerr.New(pgerr.InvalidStatementName, "prepared statement \"%s\" does not exist", name)
		}
		columns = st.columns()
		dst, at := wire.Begin(s.out, wire.ParameterDescription)
		s.out = wire.End(append(dst, 0, 0), at) // no parameters
	case kind == 'P':
		p := s.portals[name]
		if p == nil {
			return pgerr.New(noCursor, "portal \"%s\" does not exist", name)
		}
		columns, formats = (&statement{p.command}).columns(), p.formats
	default:
		return pgerr.New(pgerr.ProtocolViolation, "invalid DESCRIBE message subtype %d", kind)
	}
	if columns == nil {
		s.out = wire.AppendEmpty(s.out, wire.NoData)
	} else {
		s.out = appendDescription(s.out, columns, formats)
	}
	return nil
}

// execute runs a portal, or fetches more of its rows.
//
//	string portal \0 | int32 rows, 0 for all
func (s *Session) execute(r *reader) *pgerr.Error {
	name, limit := r.string(), r.uint32()
	p := s.portals[name]
	switch {
	case r.bad:
		return errTruncated
	case p == nil:
		return pgerr.New(noCursor, "portal \"%s\" does not exist", name)
	case p.command == nil:
		s.out = wire.AppendEmpty(s.out, wire.EmptyQueryResponse)
		return nil
	case p.started && p.command.show == nil:
		return pgerr.New(wrongState, "portal \"%s\" cannot be run anymore", name)
	}
	tag := p.command.tag
	if !p.started {
		var err *pgerr.Error
		p.started = true
		if p.rows, tag, err = s.run(p.command); err != nil {
			return err
		}
	}
	if p.command.show != nil {
		some := p.rows
		if limit > 0 && uint64(limit) < uint64(len(some)) {
			some = some[:limit]
		}
		p.rows = p.rows[len(some):]
		s.sendRows(p.command.show.columns, p.formats, some)
	}
	if len(p.rows) > 0 {
		s.out = wire.AppendEmpty(s.out, wire.PortalSuspended)
	} else {
		s.out = wire.AppendCommandComplete(s.out, tag)
	}
	return nil
}

// closeTarget forgets a statement or portal. That there is none is no error.
//
//	byte 'S' or 'P' | string name \0
func (s *Session) closeTarget(r *reader) *pgerr.Error {
	kind, name := r.byte(), r.string()
	switch {
	case r.bad:
		return errTruncated
	case kind == 'S':
		delete(s.statements, name)
	case kind == 'P':
		delete(s.portals, name)
	default:
		return pgerr.New(pgerr.ProtocolViolation, "invalid CLOSE message subtype %d", kind)
	}
	s.out = wire.AppendEmpty(s.out, wire.CloseComplete)
	return nil
}
