package session

import (
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// longQuery handles a simple query that streams. Its text is kept on the way, to be looked at when it is complete.
func (s *Session) longQuery(frame []byte, size int) verdict {
	s.srv.fifo.push(s.simple())
	if size > maxRemembered {
		s.pinned |= sqlscan.OpaqueSetting
		return pass
	}
	s.saving = &statement{body: append([]byte(nil), frame[wire.HeaderSize:]...), isQuery: true}
	return pass
}

// maxRemembered bounds the texts that are kept to be looked at. A client that sends longer ones with a SET at their end
// would like it bigger; it gets a pinned server instead, which is safe.
const maxRemembered = 16 << 20

// isDiscardAll reports whether text is DISCARD ALL and nothing else.
func isDiscardAll(text []byte) bool {
	sum := sqlscan.Classify(text)
	if sum.First != sqlscan.Discard || sum.Count != 1 {
		return false
	}
	r := sqlscan.NewReader(text)
	if !r.Next() {
		return false
	}
	st := r.Statement()
	return st.All
}

// saved is called when a text that streamed through is complete.
func (s *Session) saved(q *statement) {
	switch {
	case q.isQuery:
		n := noteOf(textOf(q.body))
		s.sawSequence(n)
		s.remember(n)
	case s.unnamed != nil && q == &s.unnamed.statement:
		q.note = noteOfParse(q.body)
	default:
		q.note = noteOfParse(q.body)
	}
}

// textOf returns the query text at the beginning of body.
func textOf(body []byte) []byte {
	text, _, _ := wire.CString(body)
	return text
}

// noteOfParse is noteOf for what follows the name in Parse.
func noteOfParse(body []byte) *note { return noteOf(textOf(body)) }

// named2sql deals with SQL-level DEALLOCATE and EXECUTE of a statement that the client prepared by protocol: it has
// another name on the server, or none.
func (s *Session) named2sql(st *Step, n *note, frame []byte) (sql string, rewritten bool) {
	if n == nil || n.gone == "" && !n.executes {
		return "", false
	}
	if n.gone != "" {
		s.standIn(st, n.gone)
		return "", false
	}
	text := textOf(frame[wire.HeaderSize:])
	r := sqlscan.NewReader(text)
	if !r.Next() {
		return "", false
	}
	stmt := r.Statement()
	from, to, ok := stmt.NameSpan()
	name := stmt.Name()
	if !ok {
		return "", false
	}
	if s.named[name] == nil {
		s.hide(st, name)
		return "", false
	}
	q := s.find(st, []byte(name))
	return string(stmt.Text[:from]) + q + string(stmt.Text[to:]), true
}

// standIn gives the server a statement of the client's name for DEALLOCATE to find.
func (s *Session) standIn(st *Step, name string) {
	if s.srv.skipToSync {
		return
	}
	s.hide(st, name)
	if s.named[name] != nil {
		s.putStray(st, name)
	}
}

// hide takes from the server what has the name there which the client's SQL is about to use, and is not the client's.
func (s *Session) hide(st *Step, name string) {
	s.closeStray(st, name)
	if q := s.srv.prepared.named(name); q != nil {
		s.evict(st, q)
	}
}
