package session

import (
	"strings"

	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// A pinned session keeps its server between transactions, for what cannot be carried to another. A text only tells that
// there may be something: a rollback undoes it, ON COMMIT DROP drops it, a lock is given back as often as it was taken. So
// the server is asked what there is, behind the client's answer, when something has come or may have gone: with the question
// for settings when there is one. Without that, a Django that walks a cursor WITH HOLD, a pool that resets its connections
// or a migration under an advisory lock would keep a server for as long as it is connected.

// pinKinds are the pins that PostgreSQL can be asked about: a letter for the answer, and whether there is any.
var pinKinds = []struct {
	pin    sqlscan.Effects
	letter byte
	exists string
}{
	{sqlscan.TempObject, 't', "SELECT FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass" +
		" AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()"},
	{sqlscan.HoldsCursor, 'c', "SELECT FROM pg_catalog.pg_cursors WHERE is_holdable"},
	{sqlscan.Listens, 'l', "SELECT FROM pg_catalog.pg_listening_channels()"},
	{sqlscan.AdvisoryLock, 'a', "SELECT FROM pg_catalog.pg_locks WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()" +
		" AND locktype OPERATOR(pg_catalog.=) 'advisory'"},
	{sqlscan.Prepares, 'p', "SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql"},
}

const askable = sqlscan.TempObject | sqlscan.HoldsCursor | sqlscan.Listens | sqlscan.AdvisoryLock | sqlscan.Prepares

// pinsAnswer names the row that tells of pins; no setting is called that.
const pinsAnswer = "?"

// pin is called when the requests that m tells of have ended. It pins for what they may have left behind, and notes what to
// ask about.
func (s *Session) pin(m *marks) {
	if !s.pooled {
		return
	}
	s.pinned |= m.pins
	m.doubts = s.pinned & askable & (m.pins | m.frees)
}

// appendPins appends the query for the doubtful pins.
func (m *marks) appendPins(q []byte) []byte {
	if m.doubts == 0 {
		return q
	}
	if len(q) > 0 {
		q = append(q, " UNION ALL "...)
	}
	q = append(q, "SELECT '"+pinsAnswer+"'::pg_catalog.text, pg_catalog.concat("...)
	first := true
	for _, k := range pinKinds {
		if m.doubts&k.pin == 0 {
			continue
		}
		if !first {
			q = append(q, ',')
		}
		first = false
		q = append(append(append(q, "CASE WHEN EXISTS ("...), k.exists...), ") THEN '"...)
		q = append(append(q, k.letter), "' END"...)
	}
	return append(q, ')')
}

// unpin takes over which of the doubtful pins there are.
func (s *Session) unpin(m *marks, letters string) {
	for _, k := range pinKinds {
		if m.doubts&k.pin != 0 && strings.IndexByte(letters, k.letter) < 0 {
			s.pinned &^= k.pin
		}
	}
}

// isDrop reports whether a statement that is nothing in particular may drop a temporary object.
func isDrop(text []byte) bool {
	s := sqlscan.NewScanner(text)
	t := s.Next()
	return t.Kind == sqlscan.Word && strings.EqualFold(string(text[t.Start:t.End]), "drop")
}
