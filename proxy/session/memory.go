package session

import (
	"slices"

	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// What a client's text leaves behind in its session has to be there on whatever server the client gets next. Settings can
// be carried: which ones a text may have changed is read off the text, and what they are is asked of the server, behind the
// client's answer and before the server is released. So a rollback, a savepoint or a function cannot mislead the memory.
// Temporary tables, LISTEN, session-level advisory locks and their like cannot be carried: they pin the server.

// note is what has to be remembered of a text. It is computed once and shared: nobody changes it.
type note struct {
	names    []string // settings that it may change
	scan     bool     // it may change settings that do not show
	resetAll bool
	resets   []string // those of names that go back to the session's default
	pins     sqlscan.Effects
	frees    sqlscan.Effects // pins that it may end
	gone     string          // a prepared statement that it deallocates
	forgets  bool            // it deallocates prepared statements
	executes bool            // it runs a prepared statement by name
	only     bool            // it is one statement
	sequence bool            // it asks for the session's sequence values
	shows    bool            // it shows application_name
	channels channelNote
}

// remembered are the kinds of statement that leave something behind.
var remembered = sqlscan.KindsOf(sqlscan.Set, sqlscan.Reset, sqlscan.Discard, sqlscan.Deallocate, sqlscan.Execute,
	sqlscan.Show, sqlscan.Prepare, sqlscan.Listen, sqlscan.Unlisten, sqlscan.Load, sqlscan.CreateTemp, sqlscan.Close, sqlscan.Do, sqlscan.Call, sqlscan.Other)

const rememberedEffects = sqlscan.Pins | sqlscan.Role | sqlscan.OpaqueSetting | sqlscan.SetsByCall | sqlscan.AdvisoryUnlock | sqlscan.UsesPrepared | sqlscan.SequenceValues

// noteOf returns what has to be remembered of sql; nil for most.
func noteOf(sql []byte) *note {
	sum := sqlscan.Classify(sql)
	if !sum.Kinds.Any(remembered) && sum.Does&rememberedEffects == 0 {
		return nil
	}
	n := &note{scan: sum.Does&sqlscan.OpaqueSetting != 0, only: sum.Count == 1, sequence: sum.Does&sqlscan.SequenceValues != 0}
	if sum.Does&sqlscan.AdvisoryUnlock != 0 {
		n.frees = sqlscan.AdvisoryLock
	}
	var settings []sqlscan.Setting
	for r := sqlscan.NewReader(sql); r.Next(); {
		st := r.Statement()
		var ok bool
		settings, ok = st.Settings(settings[:0])
		n.scan = n.scan || !ok
		for _, x := range settings {
			if x.Local || x.Name == "" {
				continue
			}
			n.names = append(n.names, x.Name)
			if x.Name == "session_authorization" {
				n.names = append(n.names, "role") // which it unsets
			}
			if x.Default {
				n.resets = append(n.resets, x.Name)
			}
		}
		n.statement(&st, n.only)
	}
	if !n.leaves() && !n.shows {
		return nil
	}
	return n
}

// leaves reports whether the text leaves anything behind.
func (n *note) leaves() bool {
	return len(n.names) > 0 || n.scan || n.resetAll || n.pins != 0 || n.frees != 0 || n.forgets || n.executes || n.sequence || n.channels.any()
}

func (n *note) statement(st *sqlscan.Statement, only bool) {
	n.pins |= st.Does & sqlscan.Pins
	switch st.Kind {
	case sqlscan.Show:
		n.shows = n.shows || st.NameIs(plainName)
	case sqlscan.Reset:
		n.resetAll = n.resetAll || st.All
	case sqlscan.Do, sqlscan.Call:
		n.scan = true
	case sqlscan.Listen:
		n.channels.listen(st)
	case sqlscan.Unlisten:
		n.channels.unlisten(st)
		n.frees |= sqlscan.Listens
	case sqlscan.Close:
		n.frees |= sqlscan.HoldsCursor
	case sqlscan.Discard:
		n.forgets = true
		n.frees |= sqlscan.TempObject
	case sqlscan.Deallocate:
		n.forgets = true
		n.frees |= sqlscan.Prepares
		if !st.All && only {
			n.gone = st.Name()
		}
	case sqlscan.Execute:
		n.executes = only
	case sqlscan.Other:
		if isDrop(st.Text) {
			n.frees |= sqlscan.TempObject
		}
	}
}

// marks are the notes of a lease, until its transaction has ended.
type marks struct {
	note
	discarded bool            // DISCARD ALL has been among them
	doubts    sqlscan.Effects // pins that the server is asked about
}

// remember takes note of a request that is sent to the server.
func (s *Session) remember(n *note) {
	if n != nil && n.pins&sqlscan.Loads != 0 && s.Decision.Tier.SessionState != "ignore" {
		s.srv.spent = true // nothing unloads a library
	}
	if n == nil || !n.leaves() || !s.pooled && !n.resetAll && len(n.resets) == 0 {
		return // a session that keeps its server needs no memory but for where RESET leads
	}
	if s.marks == nil {
		s.marks = &marks{}
	}
	m := s.marks
	carried := s.pinned&sqlscan.OpaqueSetting == 0 // else they stay where they are
	for _, name := range n.names {
		if !carried && !slices.Contains(n.resets, name) {
			continue
		}
		if !s.shared || name != "role" && name != "session_authorization" { // there, the role is set at each lease
			m.names = append(m.names, name)
		}
	}
	m.resets = append(m.resets, n.resets...)
	m.scan = m.scan || n.scan && carried
	m.resetAll = m.resetAll || n.resetAll
	m.pins |= s.attempt(n)
	m.frees |= n.frees
	m.forgets = m.forgets || n.forgets
	if n.gone != "" {
		m.gone = n.gone
	}
}

// recall is called when the server is outside a transaction with nothing outstanding. It turns the marks into pins, asks
// the server for the settings that may have changed, and reports whether the lease has to go on for that. What the client
// sends while the question is under way makes new marks, and so another question.
func (s *Session) recall(st *Step) (busy bool) {
	m := s.marks
	if m == nil {
		return false
	}
	s.marks = nil
	if m.discarded {
		s.startOver()
	}
	if s.Decision.Tier.SessionState == "ignore" {
		m.pins = 0
	}
	s.pin(m)
	sql := m.question(s)
	if sql == "" {
		return false
	}
	s.asking = m
	s.srv.send(st, ownQuestion, sql)
	return true
}

// adjust sends the settings that the client should have and the server has not, as after RESET of something that the
// client had asked for at its start.
func (s *Session) adjust(st *Step) (busy bool) {
	v := s.srv
	if v.current == s.worn || s.mayRelease() && v.current.bare() == s.worn.bare() {
		return false // or the next lease puts the labels back
	}
	s.applyAs(st, ownRestore)
	return true
}

// question is the query for the settings that may have changed; "" when there are none.
func (m *marks) question(s *Session) string {
	names := slices.Clone(m.names)
	if m.resetAll {
		for _, set := range []Settings{s.want, s.startup} {
			for name := range set.Map() {
				names = append(names, name)
			}
		}
	}
	if s.Decision.Tier.IdentitySetting && (m.resetAll || m.scan) {
		names = append(names, labelNames...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var q []byte
	for _, name := range names {
		if !quotable(name) {
			s.pinned |= sqlscan.OpaqueSetting // nor can it be asked for
			continue
		}
		if len(q) > 0 {
			q = append(q, " UNION ALL "...)
		}
		q = append(q, "SELECT "...)
		q = append(appendLiteral(q, name), "::pg_catalog.text, pg_catalog.current_setting("...)
		q = append(appendLiteral(q, name), ", true)"...)
	}
	q = m.appendDefaults(q, names)
	if m.scan {
		if len(q) > 0 {
			q = append(q, " UNION ALL "...)
		}
		q = append(q, "SELECT name, setting FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session'"...)
	}
	return string(m.appendPins(q))
}

// answered takes over what the server said.
func (s *Session) answered() {
	m := s.asking
	s.asking = nil
	have := s.srv.current.Map()
	want := s.want.Map()
	initial := s.startup.Map()
	said := s.srv.take()
	for _, r := range said.rows {
		if r.Name == pinsAnswer {
			s.unpin(m, r.Value)
			continue
		}
		have[r.Name] = r.Value
		switch {
		case r.Name == plainName:
			if own := s.srv.visible(r.Value); own != want[r.Name] {
				want[r.Name] = own
			}
		case !isLabel(r.Name) || !s.Decision.Tier.IdentitySetting:
			want[r.Name] = r.Value
		}
		if r.Value == "" && m.isReset(r.Name) {
			said.missing = append(said.missing, r.Name)
		}
	}
	for _, name := range said.missing {
		delete(have, name)
		delete(want, name)
		if value, ok := initial[name]; ok && m.isReset(name) {
			want[name] = value // the client's own default is what it started with
		}
	}
	s.srv.current = fromMap(have)
	s.wants(fromMap(want))
	if said.partial || s.want.size() > maxCarried {
		s.pinned |= sqlscan.OpaqueSetting
	}
}

// maxCarried is how many bytes of settings are carried from server to server. All of them are compared and copied whenever one
// changes, while other clients wait for the loop. A client with more keeps its server.
const maxCarried = 64 << 10

// take returns what the server said and forgets it.
func (v *Server) take() answer {
	said := v.answer
	v.answer = answer{}
	return said
}

// row takes one row of an answer.
//
//	'D' | int32 length | int16 2 | { int32 length or -1 | bytes } * 2
func (m *answer) row(frame []byte) (ok bool) {
	rest := frame[wire.HeaderSize:]
	if len(rest) < 2 || rest[0] != 0 || rest[1] != 2 {
		return false
	}
	name, rest, ok := wire.Value(rest[2:])
	value, _, ok2 := wire.Value(rest)
	if !ok || !ok2 || name == nil {
		return false
	}
	if value != nil && !quotable(string(value)) {
		m.partial = true // it cannot be said to another server: the session stays on this one
		return true
	}
	if value == nil {
		m.missing = append(m.missing, lower(string(name)))
		return true
	}
	m.rows = append(m.rows, Setting{lower(string(name)), string(value)})
	return true
}

// completed looks at the command tag of a statement of the client's: these change what the proxy remembers.
func (s *Session) completed(tag string) {
	switch tag {
	case "DISCARD ALL":
		s.discarded()
	case "DEALLOCATE ALL":
		s.srv.prepared.clear()
		s.pinned &^= sqlscan.Prepares
		if s.marks != nil {
			s.marks.pins &^= sqlscan.Prepares
		}
		s.dropNamed()
	case "DEALLOCATE":
		if m := s.marks; m != nil && m.gone != "" {
			if q := s.named[m.gone]; q != nil {
				s.unname(m.gone)
				s.texts.giveBack(q)
			}
			m.gone = ""
		}
	}
}

func (s *Session) dropNamed() {
	for _, q := range s.named {
		s.texts.giveBack(q)
	}
	s.named, s.kept = nil, 0
}
