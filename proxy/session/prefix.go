package session

import (
	"bytes"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// A server connection changes its identity by a prefix: statements of pgtier's own that go ahead of the client's bytes, in the
// same write.
//
//	DISCARD ALL · BEGIN · SET ROLE alice · SET ... · COMMIT · <the client's bytes>
//
// Each is Parse, Bind and Execute, and there is no Sync: so there is no ReadyForQuery, no flush and no wake-up in between.
//
// Behind an error in the extended protocol a server ignores every message up to the next Sync, simple queries too
// (src/backend/tcop/postgres.c, ignore_till_sync). So whatever fails of the prefix (a membership that was revoked, a timeout or
// a cancel request of the identity before), nothing of the client's is executed. Until the prefix is confirmed, the client
// therefore gets through one Sync at most: what it sends behind that would be executed again, and waits. pgtier sends none of
// its own, but for the one that ends the batch of a client that has left.
//
// DISCARD ALL and COMMIT commit at once, without a Sync. So the client's first message starts a transaction of its own, in
// which it may do what cannot run in a transaction block, and whose end does not undo the role. integration/e2e,
// TestSwitchStartsAfresh and TestSwitchFailsClosed, asks PostgreSQL for all of this.
//
// What the prefix does is booked when it is sent. If any of it fails, the server is closed.
type prefix struct {
	pending  bool // it has been sent and is not confirmed
	discard  bool // DISCARD ALL
	role     bool // SET ROLE
	unname   bool // Close of the unnamed statement, for a session that nobody keeps one for
	settings int  // how many SET and RESET

	at      int  // the statement that is to be answered next
	part    byte // what of it: ParseComplete, BindComplete, CommandComplete
	flushed bool // it is answered though nothing of the client's followed it
	cancels bool // the client has left: what it has sent is to be cancelled
}

// stage is what a statement of the prefix does.
type stage byte

const (
	stageDiscard stage = iota
	stageBegin
	stageRole
	stageSetting
	stageCommit
	stageUnname
	stageDone
)

// stage returns what the statement does that is to be answered next.
func (p *prefix) stage() stage {
	at := p.at
	if p.discard {
		if at == 0 {
			return stageDiscard
		}
		at--
	}
	if inside := p.inside(); inside > 0 {
		switch {
		case at == 0:
			return stageBegin
		case at == 1 && p.role:
			return stageRole
		case at <= inside:
			return stageSetting
		case at == inside+1:
			return stageCommit
		}
		at -= inside + 2
	}
	if p.unname && at == 0 {
		return stageUnname
	}
	return stageDone
}

// inside is how many statements stand between BEGIN and COMMIT; without any there is neither.
func (p *prefix) inside() int {
	if p.role {
		return p.settings + 1
	}
	return p.settings
}

// appendStatement appends Parse, Bind and Execute of an unnamed statement.
func appendStatement(dst []byte, sql string) []byte {
	dst, at := wire.Begin(dst, wire.Parse)
	dst = append(append(append(dst, 0), sql...), 0, 0, 0)
	dst, at = wire.Begin(wire.End(dst, at), wire.Bind)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst, at = wire.Begin(wire.End(dst, at), wire.Execute)
	return wire.End(append(dst, 0, 0, 0, 0, 0), at)
}

var (
	discardFrames = appendStatement(nil, "DISCARD ALL")
	beginFrames   = appendStatement(nil, "BEGIN")
	commitFrames  = appendStatement(nil, "COMMIT")
	unnameFrames  = appendClose(nil, "")
)

// change is what turns a server with some settings into one with others, as statements of a prefix.
type change struct {
	frames []byte
	n      int  // of them
	ok     bool // SET and RESET can say it
}

// changeOf returns the change from one set of settings to another.
func changeOf(from, to Settings) *change {
	c := &change{ok: true}
	have, want := from.Map(), to.Map()
	for _, name := range sortedNames(want) {
		if v, ok := have[name]; !ok || v != want[name] {
			c.add(name, appendSet(nil, want, name))
		}
	}
	for _, name := range sortedNames(have) {
		if _, ok := want[name]; !ok {
			c.add(name, appendUnset(nil, have, name))
		}
	}
	return c
}

func (c *change) add(name string, sql []byte) {
	if isIdentity(name) || bytes.HasPrefix(sql, []byte("SELECT ")) { // the first is no setting, the second has rows
		c.ok = false
	}
	c.frames = appendStatement(c.frames, string(sql))
	c.n++
}

// changeTo returns the change from a server's settings. That from a clean server is remembered: all who want the same
// settings share it.
func (p *Profiles) changeTo(from, to Settings) *change {
	if from != NoSettings {
		return changeOf(from, to)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.changes[to]
	if c == nil {
		c = changeOf(NoSettings, to)
		if len(p.changes) >= maxProfiles {
			clear(p.changes)
		}
		p.changes[to] = c
	}
	return c
}

// switches makes the server the session's by a prefix. It reports false when there is none to send: an answer is needed first,
// or what the server carries may end the prefix before its time and another server would do.
func (s *Session) switches(st *Step, reset bool) bool {
	v := s.srv
	if !s.welcomed || v.current.impatient() || s.worn.impatient() {
		return false
	}
	var known *role
	if s.shared {
		if known = s.roles.find(s.roleKey(), st.Now); known == nil || known.refusal != nil {
			return false
		}
		if !reset && s.hasRole(st.Now) {
			return false
		}
	} else if !reset {
		return false
	}
	return s.sendPrefix(st, reset, known)
}

// sendPrefix sends the prefix; known is nil when there is no role to set. It reports false when it cannot say what is to be
// said.
func (s *Session) sendPrefix(st *Step, reset bool, known *role) bool {
	v := s.srv
	from := v.current
	if reset {
		from = NoSettings
	}
	c := s.profiles.changeTo(from, s.worn)
	if !c.ok {
		return false
	}
	p := prefix{pending: true, discard: reset, role: known != nil, settings: c.n, unname: !s.pooled}
	own := st.ToServer.Own()
	if p.discard {
		own = append(own, discardFrames...)
		v.forget()
	}
	if p.inside() > 0 {
		own = append(own, beginFrames...)
		if p.role {
			own = append(own, known.frames...)
			v.role, v.roleAt, s.roleSeen = s.Decision.Role, st.Now, known.checked
		}
		own = append(append(own, c.frames...), commitFrames...)
	}
	if p.unname {
		own = append(own, unnameFrames...)
	}
	st.ToServer.Put(own)
	v.fifo.push(request{kind: kPrefix, mode: skipped, own: ownPrefix})
	v.prefix, v.unreported = p, true
	v.Identity, v.current, v.wearer = s.Identity, s.worn, s.want
	v.prepared.hasUnnamed(nil, 0)
	v.prepared.unnamedUnknown = true // it is the prefix's own
	s.meetSequences(st)
	s.become(Linked, st.Now)
	return true
}

// endPrefix makes the server answer a prefix that nothing of the client's follows yet.
func (s *Session) endPrefix(st *Step) {
	if v := s.srv; v.prefix.pending && !v.prefix.flushed && v.fifo.len() == 1 && s.between() {
		v.prefix.flushed = true
		st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Flush))
	}
}

// prefixFrame judges a frame that answers the prefix.
func (v *Server) prefixFrame(st *Step, typ byte, size int, frame []byte) verdict {
	p := &v.prefix
	now := p.stage()
	want := [...]byte{wire.ParseComplete, wire.BindComplete, wire.CommandComplete}[p.part]
	if now == stageUnname {
		want = wire.CloseComplete
	}
	if typ != want || typ != wire.CommandComplete && size != wire.HeaderSize || size > maxTag {
		return v.unexpected(st, typ)
	}
	if len(frame) < size {
		return more
	}
	if typ == wire.CommandComplete && !now.isTag(frame[wire.HeaderSize:]) {
		return v.unexpected(st, typ) // COMMIT that says ROLLBACK, for one
	}
	if p.part++; p.part == 3 || now == stageUnname {
		p.at, p.part = p.at+1, 0
	}
	if p.stage() == stageDone {
		v.prefixDone(st)
	}
	return taken
}

// isTag reports whether body is the CommandComplete of a statement that does this.
func (now stage) isTag(body []byte) bool {
	switch tag := string(body[:max(len(body)-1, 0)]); now {
	case stageDiscard:
		return tag == "DISCARD ALL"
	case stageBegin:
		return tag == "BEGIN"
	case stageRole:
		return tag == "SET"
	case stageSetting:
		return tag == "SET" || tag == "RESET"
	case stageCommit:
		return tag == "COMMIT"
	}
	return false
}

// prefixDone is called when all of the prefix is confirmed: whatever the client has sent is its own to answer for.
func (v *Server) prefixDone(st *Step) {
	cancels := v.prefix.cancels
	v.prefix = prefix{}
	v.fifo.pop()
	s := v.session
	switch {
	case s != nil:
		s.gated = false
		s.sendCancel(st)
		if v.fifo.len() == 0 && !s.inBatch { // the lease may turn out not to be needed: the server shall be as idle as any
			st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Sync))
			v.fifo.push(request{kind: kSync, mode: skipped, own: ownFence})
		}
	case cancels && v.fifo.hasClients():
		st.Server = v
		st.Do |= CancelServer
	}
}

// prefixFailed handles an ErrorResponse for the prefix. The server executes nothing of what follows it, and is closed.
func (v *Server) prefixFailed(st *Step, size int, frame []byte) verdict {
	if v.ownFailed(size, frame) == more {
		return more
	}
	failed, what, fatal := v.ownError, v.prefix.stage(), isFatal(frame)
	v.ownError, v.broken = ownError{}, true
	s := v.session
	switch {
	case s == nil:
		st.Server = v
		st.Do |= Discard
	case what == stageRole && !fatal && failed.code != pgerr.QueryCanceled:
		s.roleRefused(st, failed)
	case what == stageSetting && !fatal && failed.code != pgerr.QueryCanceled:
		s.close(st, ReasonServerFailed, pgerr.Fatal(failed.code, "%s", failed.message))
	case fatal: // it was ended from outside: an administrator, a crash of its neighbour
		s.close(st, ReasonServerGone, errNotSwitched)
		s.end.Detail = failed.message
	default:
		s.close(st, ReasonServerFailed, errNotSwitched)
		s.end.Detail = failed.message
	}
	return closed
}

var errNotSwitched = pgerr.Fatal(pgerr.ConnectionDied, "the server connection could not be prepared for the session").
	WithHint("Nothing of the request has been executed.")
