package session

import (
	"strconv"
	"strings"
	"sync"
)

// statement is one distinct query text with its parameter types, as clients with certain settings read it. All clients that
// prepare the same share it, and so do all servers: it has one name there.
type statement struct {
	name     string   // on servers: pgtier_<n>
	body     []byte   // what follows the name in Parse: string query \0 | int16 n | n * int32 type
	reads    Settings // those that say what the text means; of one that is sharable
	sharable bool     // not too long to be looked up
	refs     int      // client names that mean it; guarded by Statements.mu
	size     uint32   // bytes of the whole body
	unkept   bool     // its body is on one server and not here
	isQuery  bool     // a simple query on its way, not a prepared statement
	note     *note    // what running it leaves behind; nil for most
}

// Statements is the index of the prepared statements of all sessions. Safe for concurrent use; the lock is held for a map
// look-up, and only by Parse and Close of named statements.
type Statements struct {
	mu     sync.Mutex
	byText map[textKey]*statement
	last   uint64
}

type textKey struct {
	body  string
	reads Settings
}

// NewStatements returns an empty index.
func NewStatements() *Statements { return &Statements{byText: make(map[textKey]*statement)} }

// serverPrefix begins the names of shared statements on servers. A client's own name never reaches a server unless it is
// unknown, and then not with this prefix.
const serverPrefix = "pgtier_"

// take returns the statement with this body for clients that read it so. The caller gives the reference back.
func (x *Statements) take(body []byte, reads Settings) *statement {
	x.mu.Lock()
	defer x.mu.Unlock()
	q := x.byText[textKey{string(body), reads}]
	if q == nil {
		q = x.newLocked()
		q.body = append([]byte(nil), body...)
		q.size = uint32(len(body))
		q.reads, q.sharable = reads, true
		q.note = noteOfParse(body)
		x.byText[textKey{string(body), reads}] = q
	}
	q.refs++
	return q
}

// takeSolo returns a statement of its own, whose body arrives later.
func (x *Statements) takeSolo() *statement {
	x.mu.Lock()
	defer x.mu.Unlock()
	q := x.newLocked()
	q.refs = 1
	return q
}

func (x *Statements) newLocked() *statement {
	x.last++
	return &statement{name: serverPrefix + strconv.FormatUint(x.last, 10)}
}

// giveBack drops a reference. Servers that still have the statement evict it in their own time.
func (x *Statements) giveBack(q *statement) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if q.refs--; q.refs == 0 {
		x.removeLocked(q)
	}
}

// retire takes q out of the index: whoever prepares its text from now on gets another statement.
func (x *Statements) retire(q *statement) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(q)
}

// removeLocked takes q out of the index, unless another has taken its place.
func (x *Statements) removeLocked(q *statement) {
	if q.sharable && x.byText[textKey{string(q.body), q.reads}] == q {
		delete(x.byText, textKey{string(q.body), q.reads})
	}
}

// Len returns how many distinct statements clients hold at present.
func (x *Statements) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.byText)
}

// prepared is what one server has: the shared statements, least recently used first, and whose unnamed statement.
type prepared struct {
	by   map[*statement]*entry
	root entry // of the ring of entries: next is the most recently used
	// Whose unnamed statement it has: nil = nobody's, unless it is unknown after a failed batch.
	unnamedOf      *Session
	unnamedRev     uint32
	unnamedUnknown bool
	max            int // how many it keeps
}

type entry struct {
	stmt       *statement
	next, prev *entry
}

// defaultPrepared is how many statements one server keeps unless the tier says otherwise. An application with more distinct
// statements would like it bigger; each costs the server some tens of kilobytes.
const defaultPrepared = 200

// use reports whether the server has q, and marks it as just used.
func (p *prepared) use(q *statement) bool {
	e := p.by[q]
	if e == nil {
		return false
	}
	e.unlink()
	p.pushFront(e)
	return true
}

func (p *prepared) add(q *statement) {
	if p.by == nil {
		p.by = make(map[*statement]*entry)
		p.root.next, p.root.prev = &p.root, &p.root
	}
	if p.by[q] != nil {
		return
	}
	e := &entry{stmt: q}
	p.by[q] = e
	p.pushFront(e)
}

func (p *prepared) remove(q *statement) {
	if e := p.by[q]; e != nil {
		e.unlink()
		delete(p.by, q)
	}
}

// victim returns the statement to evict before another is added; nil when there is room.
func (p *prepared) victim() *statement {
	if len(p.by) < p.max {
		return nil
	}
	return p.root.prev.stmt
}

// clear forgets all but the unnamed statement, which neither DEALLOCATE ALL nor DISCARD ALL touches.
func (p *prepared) clear() {
	p.by, p.root = nil, entry{}
}

// named returns the shared statement whose name on the server is name, which a client has thought of too; nil when there is
// none.
func (p *prepared) named(name string) *statement {
	if strings.HasPrefix(name, serverPrefix) {
		for q := range p.by {
			if q.name == name {
				return q
			}
		}
	}
	return nil
}

func (p *prepared) pushFront(e *entry) {
	e.prev, e.next = &p.root, p.root.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }
