package session

import (
	"strings"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Server is one server connection as sessions see it: what it has been asked and what state it carries.
type Server struct {
	pool.Conn // the pool's record; Owner is the loop's record of the socket

	Key  pool.Key
	PID  uint32
	Addr string

	encoding string // client_encoding as the login has it
	appName  string // application_name as the login has it

	session *Session // lessee; nil while it is idle, or an orphan cleaning itself

	fifo        fifo
	status      byte // of the last ReadyForQuery
	copyIn      bool // the server reads copy data
	copyTouched bool // the client has sent something of it, or its end
	copyBegun   bool // the oldest request is a copy to the server that has begun
	copySyncs   int  // Sync messages that the client sent into the copy: not answered if it succeeds
	inDoubt     int  // those of a copy that failed: any number of them may be answered still
	skipToSync  bool // after an error in the extended protocol the server discards everything up to Sync

	// The server's byte stream.
	body     int  // bytes of its current frame that are still to come
	dropBody bool // they are not forwarded

	current  Settings // what has been applied on top of the login's own
	wearer   Settings // what its session wanted, as the client sees it, when that was last compared with current
	showing  bool     // portal is bound to a statement that shows application_name
	portal   string
	reported []Setting // what ParameterStatus says now, in the order of the first report
	answer   answer    // to pgtier's own query
	role     string    // that SET ROLE has set and nothing can have changed since; "" = not known
	roleAt   int64     // when it was set, monotonic nanoseconds
	dirty    bool      // carries the state of a session that ended: reset before anybody has it
	ownError ownError  // of pgtier's own statement
	prefix   prefix    // that has been sent and is not confirmed
	broken   bool      // it has failed: nobody may have the server

	login      []report0 // what was reported at the login: the first of reported
	unreported bool      // what a prefix has changed has not been reported yet

	toldWhy bool // a FATAL of the server's own has been forwarded

	prepared prepared

	spent     bool   // it carries what no statement takes away: closed instead of given to anybody else
	sequences uint64 // the ID of the session that its sequence values are of; see sequences.go
}

// answer is what a server said to one of pgtier's own queries for (name, value) rows.
type answer struct {
	rows    []Setting
	missing []string // names whose value is NULL or not usable
	partial bool     // a row was too long to be kept, or cannot be said to another server
}

type ownError struct {
	is            bool
	code, message string
}

// NewServer describes a fresh login, clean and idle; params is its ParameterStatus.
func NewServer(key pool.Key, pid uint32, addr string, params map[string]string) *Server {
	v := &Server{Key: key, PID: pid, Addr: addr, encoding: params["client_encoding"], appName: params[plainName],
		status: wire.Idle, current: NoSettings, wearer: NoSettings}
	for _, name := range sortedNames(params) {
		v.reported = append(v.reported, Setting{name, params[name]})
		v.login = append(v.login, report0{lower: lower(name), value: params[name], tracked: tracked[lower(name)] && lower(name) != plainName})
	}
	return v
}

// Session returns the lessee; nil when there is none.
func (v *Server) Session() *Session { return v.session }

// report remembers a ParameterStatus, and refuses to remember without end. The slice is short: PostgreSQL 18 reports 15.
func (v *Server) report(name, value string) (ok bool) {
	for i := range v.reported {
		if v.reported[i].Name == name {
			v.reported[i].Value = value
			return true
		}
	}
	v.reported = append(v.reported, Setting{name, value})
	return len(v.reported) <= maxReported
}

// maxReported is how many parameters a server may report. Extensions may add some to PostgreSQL's own; none is known that does.
const maxReported = 128

// clean reports whether nothing is outstanding and no transaction is open.
func (v *Server) clean() bool { return v.quiet() && v.status == wire.Idle }

// quiet reports whether nothing is outstanding: the server waits for a request.
func (v *Server) quiet() bool {
	return v.fifo.len() == 0 && !v.copyIn && !v.skipToSync && v.body == 0
}

// first returns the oldest outstanding request; nil when there is none, or no server.
func (v *Server) first() *request {
	if v == nil {
		return nil
	}
	return v.fifo.first()
}

// forget is called when the server has confirmed DISCARD ALL.
func (v *Server) forget() {
	v.current = NoSettings
	v.dirty = false
	v.role = ""
	v.Identity = ""
	v.sequences = nobody
	v.prepared.clear()
}

// send appends one of pgtier's own simple queries and expects its answer.
func (v *Server) send(st *Step, what own, sql string) {
	st.ToServer.Put(wire.AppendQuery(st.ToServer.Own(), sql))
	v.fifo.push(request{kind: kQuery, mode: skipped, own: what})
	v.answer = answer{}           // of a question whose session has left meanwhile
	v.prepared.hasUnnamed(nil, 0) // a simple query destroys the unnamed statement
}

func lower(s string) string { return strings.ToLower(s) }
