package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// kind is what a request asks of the server: the type byte of the message that the server will answer.
type kind byte

const (
	kQuery    kind = 'Q'
	kParse    kind = 'P'
	kBind     kind = 'B'
	kDescribe kind = 'D'
	kExecute  kind = 'E'
	kClose    kind = 'C'
	kSync     kind = 'S'
	kFunction kind = 'F'
	kPrefix   kind = '^' // statements that change the identity, answered one by one: see prefix.go
	kCopyEnd  kind = 'c' // CopyDone or CopyFail: no answer of its own, but it marks where a copy ends in the stream
)

// ends reports whether ReadyForQuery is the last answer to the request.
func (k kind) ends() bool { return k == kQuery || k == kSync || k == kFunction }

// completion is the message that answers the request when pgtier answers it itself.
func (k kind) completion() byte {
	if k == kParse {
		return wire.ParseComplete
	}
	return wire.CloseComplete
}

// mode is whose answer it is.
type mode byte

const (
	forward mode = iota // the client's own: its answer is forwarded
	skipped             // pgtier's own: its answer is swallowed
	faked               // the server never sees the request: pgtier answers in its turn
	refused             // the server gets a text that it refuses, and the client gets pgtier's error in place of the server's
)

// own says what a skipped request was for.
type own byte

const (
	ownNone      own = iota
	ownReset         // DISCARD ALL between identities or sessions
	ownSettings      // the client's settings
	ownRestore       // the same, behind a request of the client's that has changed them
	ownRollback      // the transaction of a client that left
	ownParse         // a statement that this server lacked
	ownClose         // a statement evicted from this server
	ownFacts         // what PostgreSQL's rules say about the role that the session is to take
	ownRole          // SET ROLE
	ownPrefix        // what makes the server the session's, ahead of the client's bytes
	ownFence         // nothing: its answer shows that everything before it has been answered
	ownQuestion      // what the settings are that the client may have changed
	ownChannels      // which channels its LISTEN has come to
	ownSequences     // DISCARD SEQUENCES
)

// request is one entry of the FIFO of outstanding requests.
type request struct {
	kind kind
	mode mode
	own  own
	stmt *statement   // the shared statement that it is about
	name string       // Parse and Close: the client's name for it
	err  *pgerr.Error // refused: what the client is told

	unnames bool     // it changes the client's unnamed statement
	before  *unnamed // which was this

	alters    bool // if it fails, or is discarded, statements are not what they would be
	shows     bool // its text shows application_name
	naming    bool // and that is what its present rows are
	described bool // the rows of the text's present statement have been described
	answered  bool // something of its answer has arrived
}

// fifo holds the requests that a server has been sent (or, faked, would have been sent) and has not finished answering,
// oldest first. Its memory belongs to the server connection and is used again.
type fifo struct {
	buf  []request
	head int

	ends   int // entries of the client's that ReadyForQuery answers
	fresh  int // entries that alter statements, of the batch that has not been ended
	unsure int // the same of the batches before it: whether they do is not known before they are answered
}

func (f *fifo) len() int { return len(f.buf) - f.head }

func (f *fifo) push(r request) {
	r.alters = r.alters || r.unnames && r.kind != kQuery || r.kind == kParse || r.kind == kClose && (r.stmt != nil || r.mode != forward)
	if r.alters {
		f.fresh++
	}
	if r.kind.ends() {
		f.unsure, f.fresh = f.unsure+f.fresh, 0
		if r.mode != skipped {
			f.ends++
		}
	}
	f.buf = append(f.buf, r)
}

// first returns the oldest entry, nil when there is none. It is valid until the next push or pop.
func (f *fifo) first() *request {
	if f.head == len(f.buf) {
		return nil
	}
	return &f.buf[f.head]
}

// running returns the oldest entry that the server works on, nil when there is none.
func (f *fifo) running() *request {
	for i := f.head; i < len(f.buf); i++ {
		if r := &f.buf[i]; r.mode != faked && r.kind != kCopyEnd {
			return r
		}
	}
	return nil
}

func (f *fifo) pop() request {
	r := f.buf[f.head]
	f.left(&r)
	f.buf[f.head] = request{} // forget the pointers
	f.head++
	if f.head == len(f.buf) {
		f.buf, f.head = f.buf[:0], 0
		if cap(f.buf) > maxFIFOKept {
			f.buf = nil
		}
	} else if f.head >= maxFIFOKept && f.head*2 >= len(f.buf) {
		f.compact()
	}
	return r
}

// left counts down for an entry that is leaving.
func (f *fifo) left(r *request) {
	switch {
	case !r.alters:
	case f.unsure > 0:
		f.unsure--
	default:
		f.fresh--
	}
	if r.kind.ends() && r.mode != skipped {
		f.ends--
	}
}

// compact moves the entries to the front, so that a pipeline that never drains does not grow the buffer for ever.
func (f *fifo) compact() {
	n := copy(f.buf, f.buf[f.head:])
	clear(f.buf[n:])
	f.buf, f.head = f.buf[:n], 0
}

const maxFIFOKept = 1024

// dropCopyEnds removes the marks at the head: the copy that they ended is over, and a server with nothing else outstanding is
// free.
func (f *fifo) dropCopyEnds() {
	for r := f.first(); r != nil && r.kind == kCopyEnd; r = f.first() {
		f.pop()
	}
}

// hasClients reports whether the server still works for the client.
func (f *fifo) hasClients() bool {
	for i := f.head; i < len(f.buf); i++ {
		if f.buf[i].mode == forward && f.buf[i].kind != kCopyEnd {
			return true
		}
	}
	return false
}

// onlyOwn reports whether nothing of the client's is outstanding.
func (f *fifo) onlyOwn() bool {
	for i := f.head; i < len(f.buf); i++ {
		if f.buf[i].mode != skipped {
			return false
		}
	}
	return true
}

// batch returns the entries up to the next Sync, that one left out.
func (f *fifo) batch() []request {
	for i := f.head; i < len(f.buf); i++ {
		if f.buf[i].kind == kSync {
			return f.buf[f.head:i]
		}
	}
	return f.buf[f.head:]
}
