package session

import (
	"sync"
	"sync/atomic"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// currval and lastval tell what nextval last returned in this session, as far as PostgreSQL knows: on this server
// connection. On a connection that changes hands that may be another client's value, and nothing would show it. So a
// session asks for such values only on a connection whose values are known to be its own: since it was new, or since a
// DISCARD of its own or of pgtier's, nobody else has had it.
//
//	the values are   | the client asks where           | what becomes of it
//	-----------------+---------------------------------+------------------------------------------------------------------
//	the session's    | in a transaction or pipeline    | it is answered
//	                 | in a statement that stands alone| it is answered, and from then on the session keeps its server: it
//	                 |                                 | is one of those that say INSERT and then SELECT lastval()
//	of others, too   | at the beginning of a lease     | DISCARD SEQUENCES goes ahead, so that the server says "is not yet
//	                 |                                 | defined in this session" unless the text itself calls nextval; a
//	                 |                                 | hint is added; and a statement that stands alone keeps the server
//	                 | later                           | refused with 55000: what the transaction got from sequences cannot
//	                 |                                 | be told from what others left behind
//
// For the last line not to hit a transaction that says BEGIN, INSERT, SELECT lastval(), DISCARD SEQUENCES goes ahead of
// every lease of a connection that has changed hands, in the same write, as soon as anybody in the pool has asked for such
// a value. It also does for the first leases of a pool, before it is known whether anybody will. Everyone else pays nothing.
//
// With session_state = "reject" a statement that stands alone may not ask; with "ignore" everybody gets what is there.
// Only texts are looked at: what a function or a trigger asks for is protected by the DISCARDs alone.

// nobody and several are what Server.sequences is when it is not the ID of a session: the values are discarded, or those
// of more than one session.
const (
	nobody  = 0
	several = ^uint64(0)
)

// Sequences knows in which pools sequence values are asked for. The zero value believes it of none until it sees it. Safe
// for concurrent use.
type Sequences struct {
	pools sync.Map // *pool.Pool -> *watch
	grace int64
}

// NewSequences returns a memory that believes it of every pool for its first leases.
func NewSequences() *Sequences { return &Sequences{grace: sequenceGrace} }

// sequenceGrace is how many times a server changes hands in a pool before it is believed that nobody asks for sequence
// values. The first transaction that does so later is refused, so somebody whose nightly job is the only one would like it
// bigger; it costs each of these leases one message.
const sequenceGrace = 4096

// watch is what is known of one pool: for how many leases more values are to be discarded.
type watch struct{ left atomic.Int64 }

// forever is more leases than there will be.
const forever = 1 << 62

func (q *Sequences) of(p *pool.Pool) *watch {
	if q == nil {
		return &watch{}
	}
	if w, ok := q.pools.Load(p); ok {
		return w.(*watch)
	}
	fresh := &watch{}
	fresh.left.Store(q.grace)
	w, _ := q.pools.LoadOrStore(p, fresh)
	return w.(*watch)
}

// discards reports whether the values on a server that changes hands are to be discarded.
func (w *watch) discards() bool {
	if w.left.Load() <= 0 {
		return false
	}
	return w.left.Add(-1) >= 0
}

// sawSequence notes that the client asks for sequence values, if n says so.
func (s *Session) sawSequence(n *note) (asks bool) {
	if n == nil || !n.sequence || !s.pooled || s.Decision.Tier.SessionState == "ignore" {
		return false
	}
	if s.watch.left.Load() < forever/2 {
		s.watch.left.Store(forever)
	}
	s.sequence = true
	return true
}

// meetSequences is called when a server is given to the session, before anything of the client's is sent.
func (s *Session) meetSequences(st *Step) {
	v := s.srv
	switch {
	case v.sequences == s.ID || !s.pooled:
	case v.sequences == nobody:
		v.sequences = s.ID
	case s.Decision.Tier.SessionState != "ignore" && s.watch.discards():
		s.discardSequences(st)
	default:
		v.sequences = several
	}
}

func (s *Session) discardSequences(st *Step) {
	s.srv.send(st, ownSequences, "DISCARD SEQUENCES")
	s.srv.sequences = s.ID
}

// keepSequences is called between two requests. A session that keeps its server is given values of its own.
func (s *Session) keepSequences(st *Step) (busy bool) {
	if s.pinned == 0 || !s.pooled || s.srv.sequences == s.ID || s.Decision.Tier.SessionState == "ignore" {
		return false
	}
	s.discardSequences(st)
	return true
}

// readsSequence judges a text that is about to run: a simple query, or Bind.
func (s *Session) readsSequence(st *Step, n *note) *pgerr.Error {
	if !s.sawSequence(n) {
		return nil
	}
	alone := s.standsAlone()
	if alone && n.only {
		if s.Decision.Tier.SessionState == "reject" {
			return errMovedSequence
		}
		s.pinned |= sqlscan.SequenceValues
	}
	switch {
	case s.srv.sequences == s.ID:
	case alone && !s.inBatch:
		s.discardSequences(st)
	default:
		return errForeignSequence
	}
	return nil
}

// preparesSequence is called before Parse is sent. Bind, which follows, is too late to put anything ahead of the batch.
func (s *Session) preparesSequence(st *Step, n *note) {
	if s.sawSequence(n) && s.opening && s.srv.sequences != s.ID && s.standsAlone() {
		s.discardSequences(st)
	}
}

// standsAlone reports whether nothing has run, or is to run, in the transaction that the next request will belong to.
func (s *Session) standsAlone() bool {
	v := s.srv
	return v.status == wire.Idle && !s.bound && !v.copyIn && v.inDoubt == 0 && !v.fifo.runs()
}

// runs reports whether a request of the client's is outstanding that may run something.
func (f *fifo) runs() bool {
	for i := f.head; i < len(f.buf); i++ {
		switch r := &f.buf[i]; {
		case r.mode == skipped, r.kind == kParse, r.kind == kDescribe, r.kind == kClose:
		default:
			return true
		}
	}
	return false
}

const hintSequence = "The server connection changes between transactions: ask for sequence values in the transaction that advanced the sequence, or use RETURNING."

var (
	errForeignSequence = pgerr.New(pgerr.NotInPrerequisiteState, "sequence values are not yet defined in this session").
				WithDetail("The server connection carries values of other clients.").
				WithHint("From now on they are known in the transaction that advanced the sequence: try it again, or use RETURNING.")
	errMovedSequence = pgerr.New(pgerr.FeatureNotSupported, "session state is not available on this tier: sequence values").
				WithHint(hintSequence)
)

// readable reports whether an error for the client can be judged: it may need a hint.
func (v *Server) readable(size int, frame []byte) bool {
	return v.session == nil || !v.session.sequence || len(frame) == size || size > maxOwnError
}

// isUndefined reports whether an error says that a sequence has no value in this session. Its text depends on lc_messages,
// so the functions are looked at that raise it (src/backend/commands/sequence.c).
func isUndefined(frame []byte, size int) bool {
	if len(frame) < size || errorField(frame, 'C') != pgerr.NotInPrerequisiteState || errorField(frame, 'H') != "" {
		return false
	}
	routine := errorField(frame, 'R')
	return routine == "lastval" || routine == "currval_oid"
}

// appendHint appends a complete ErrorResponse with a hint added.
func appendHint(dst, frame []byte, hint string) []byte {
	at := len(dst) + 1
	dst = append(dst, frame[:len(frame)-1]...)
	dst = append(append(append(dst, 'H'), hint...), 0, 0)
	return wire.End(dst, at)
}
