package session

import (
	"cmp"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Begin starts a session that has just been handed to its loop. A client that starts as an earlier one did is welcomed at
// once; otherwise a server is asked what it makes of the client's settings.
func (s *Session) Begin(st *Step) {
	if s.shared { // whether the role may be taken is for the server to say, each time
		s.acquire(st)
		return
	}
	rest, name, plain := splitName(s.want)
	if !plain {
		rest = s.want
	}
	if p := s.profiles.find(s.Pool, rest); p != nil {
		s.welcome(st, p, name)
		s.become(Idle, st.Now)
		return
	}
	s.acquire(st)
}

// Wake is called when an idle client has sent something.
func (s *Session) Wake(st *Step) {
	if s.state == Idle {
		s.acquire(st)
	}
}

func (s *Session) acquire(st *Step) {
	s.become(Waiting, st.Now)
	s.Counts.waitStart = st.Now
	s.Waiter.Paused = 0
	st.Do |= Acquire
}

// Granted hands v to the session. If v carries somebody else's state it is reset first: by a prefix of the client's bytes, in
// the same write, or else nothing of the client's is read before the server has confirmed that. Settings that differ are sent
// ahead of the client's bytes in the same write.
func (s *Session) Granted(st *Step, v *Server) {
	s.Counts.WaitedNanos += st.Now - s.Counts.waitStart
	s.srv, v.session, st.Server = v, s, v
	s.Counts.ServerPID = v.PID
	if v.prepared.max = s.Decision.Tier.MaxPrepared; v.prepared.max == 0 {
		v.prepared.max = defaultPrepared
	}
	reset := v.dirty || v.Identity != "" && v.Identity != s.Identity
	switch {
	case s.switches(st, reset):
	case reset:
		v.send(st, ownReset, "DISCARD ALL")
		s.factsBehindReset(st)
		s.become(Preparing, st.Now)
	default:
		s.prepare(st)
	}
}

// prepare goes on with a clean server: the role first, where there is one to set.
func (s *Session) prepare(st *Step) {
	if s.shared && !s.takeRole(st) {
		if s.state == Waiting {
			s.become(Preparing, st.Now)
		}
		return
	}
	s.link(st)
}

// link makes a clean v the session's.
func (s *Session) link(st *Step) {
	v := s.srv
	v.Identity = s.Identity
	v.wearer = s.want
	probing := !s.welcomed
	if probing {
		s.dressForProbe()
	} else {
		s.meetSequences(st)
	}
	if v.current != s.worn {
		wait := probing || v.current.hurries()
		s.apply(st)
		if wait && s.state != Preparing {
			s.become(Preparing, st.Now)
		}
		if wait {
			return
		}
	}
	if probing {
		s.probed(st)
		return
	}
	s.become(Linked, st.Now)
}

// apply makes the server's settings the client's.
func (s *Session) apply(st *Step) { s.applyAs(st, ownSettings) }

func (s *Session) applyAs(st *Step, what own) {
	v := s.srv
	st.ToServer.Put(appendChange(st.ToServer.Own(), v.current, s.worn))
	v.fifo.push(request{kind: kQuery, mode: skipped, own: what})
	v.prepared.hasUnnamed(nil, 0) // a simple query destroys the unnamed statement
	v.current, v.wearer = s.worn, s.want
}

// ownEnded is called at the ReadyForQuery of one of pgtier's own statements.
func (v *Server) ownEnded(st *Step, what own) {
	failed := v.ownError
	v.ownError = ownError{}
	s := v.session
	switch {
	case failed.is && s == nil:
		st.Do |= Discard
	case failed.is:
		s.ownFailed(st, what, failed)
	case what == ownReset:
		v.forget()
		switch {
		case v.fifo.len() > 0: // the question for the role is under way behind it
		case s != nil:
			s.prepare(st)
		default:
			v.cleanUp(st)
		}
	case s == nil:
		v.cleanUp(st)
	case what == ownFacts:
		s.factsKnown(st)
	case what == ownRole:
		s.roleTaken(st.Now)
		if s.state == Preparing {
			s.prepare(st)
		} else {
			s.requestEnded(st)
		}
	case what == ownSettings && !s.welcomed:
		s.probed(st)
	case what == ownSettings && s.state == Preparing:
		s.become(Linked, st.Now)
	case what == ownSequences && s.state == Preparing: // the settings are under way behind it
	case what == ownQuestion:
		s.answered()
		s.requestEnded(st)
	case what == ownChannels:
		s.channelsAnswered(st)
		s.requestEnded(st)
	default:
		s.requestEnded(st)
	}
}

// ownFailed decides what a failed statement of pgtier's means for the session. The server is closed in any case: its state
// is not known.
func (s *Session) ownFailed(st *Step, what own, failed ownError) {
	switch {
	case what == ownReset, s.state == Preparing && failed.code == pgerr.QueryCanceled && s.mayTryAgain():
		s.loseServer(st)
		s.acquire(st)
		return
	case what == ownRole:
		s.roleRefused(st, failed)
		return
	case what == ownFacts && s.state == Linked:
		s.uncheckable(st, failed)
		return
	case what == ownQuestion:
		// As with a statement_timeout of a millisecond. What cannot be carried stays where it is.
		s.pinned |= sqlscan.OpaqueSetting
		s.asking = nil
		s.requestEnded(st)
		return
	case what == ownChannels:
		s.channelsUnknown(st)
		s.requestEnded(st)
		return
	}
	reason := ReasonServerFailed
	if !s.welcomed {
		reason = ReasonRefusedSettings
	}
	s.close(st, reason, pgerr.Fatal(failed.code, "%s", failed.message))
}

// maxTries bounds how often a lease is begun again on another server. The client's own settings may be what cancels.
const maxTries = 5

// mayTryAgain reports whether what was cancelled while a server was prepared is tried on another one: by a timeout or a
// cancel request that somebody else has left to the first.
func (s *Session) mayTryAgain() bool {
	s.tries++
	return s.tries <= maxTries
}

// loseServer discards the server; the session has none.
func (s *Session) loseServer(st *Step) {
	st.Server = s.srv
	st.Do |= Discard
	s.srv.session = nil
	s.srv = nil
}

// probed ends the first lease of a session whose settings no server had seen yet: what the server reports is the profile.
func (s *Session) probed(st *Step) {
	rest, name, plain := splitName(s.want)
	if !plain {
		rest = s.want
	}
	p := learn(s.srv, rest)
	s.profiles.store(s.Pool, rest, p)
	s.srv.current = s.srv.current.under(p.Settings) // in the form in which the server reports them
	s.srv.spent = s.srv.spent || s.sole && s.want.custom()
	s.welcome(st, p, name)
	s.release(st)
}

// welcome sends what PostgreSQL sends after AuthenticationOk.
func (s *Session) welcome(st *Step, p *Profile, name string) {
	want := p.Settings
	if name = cmp.Or(name, p.AppName); name != "" {
		want = want.With(plainName, name)
	}
	s.wants(want)
	s.startup, s.told = want, want
	own := append(st.ToClient.Own(), p.Reported...)
	own = wire.AppendParameterStatus(own, plainName, name)
	own = wire.AppendBackendKeyData(own, s.PID, s.Secret)
	st.ToClient.Put(wire.AppendReadyForQuery(own, wire.Idle))
	s.welcomed = true
}

// requestEnded is called at each ReadyForQuery of the client's, and of pgtier's own requests sent ahead of the client's:
// the release rule.
func (s *Session) requestEnded(st *Step) {
	if s.state == Linked && s.srv.clean() && s.between() && (s.recall(st) || s.settleChannels(st) || (s.owesReady || !s.mayRelease()) && s.adjust(st) || s.keepSequences(st)) {
		return
	}
	s.payReady(st)
	if s.state == Linked && s.letGo(st) {
		return
	}
	s.deadlines.requestEnded(s, st.Now)
	s.sendCancel(st)
	if s.srv.fifo.len() == 0 {
		s.cancel = false // too late: the client's next request is not what it meant
	}
	s.hear(st)
	if s.leaving && s.srv.clean() && !s.inBatch {
		s.close(st, ReasonShutdown, errShutdown)
	}
}

// between reports whether the client is between two frames and between two batches: pgtier may say something of its own.
func (s *Session) between() bool { return !s.inBatch && s.held == nil && (s.body == 0 || s.dropBody) }

// mayRelease is the release rule: everything that the server sent has been forwarded, it is outside a transaction, nothing
// is outstanding, no copy is pending, the client is between two frames and two batches, and leaves nothing behind.
func (s *Session) mayRelease() bool {
	return s.pooled && !s.backlog && s.pinned == 0 && s.marks == nil && !s.hearing.holds() && s.srv.clean() && s.between() && !s.stalled
}

// letGo releases the server if it may be, or asks it first whether it has answered everything.
func (s *Session) letGo(st *Step) bool {
	switch {
	case len(s.strays) > 0 && s.srv.quiet() && s.between():
		s.tidyUp(st)
	case !s.mayRelease():
		return false
	case s.srv.inDoubt > 0:
		s.srv.send(st, ownFence, "")
	default:
		s.release(st)
	}
	return true
}

// Settle is called after the client's bytes have been taken. A lease that turned out not to be needed ends here.
func (s *Session) Settle(st *Step) {
	if s.state != Linked {
		return
	}
	v := s.srv
	s.hearing.resumed()
	if v.body == 0 {
		v.answerFaked(st)
	}
	s.endPrefix(st)
	switch {
	case s.marks != nil && v.clean() && s.between() && s.recall(st):
	case s.letGo(st):
	case v.fifo.len() > 0, s.hearing.stalled():
		s.deadlines.requestBegins(s, st.Now)
		s.sendCancel(st)
		s.drawAnswers(st)
	}
}

// drawAnswers makes the server send what it keeps for Sync: a client over maxOutstanding is not read, and so the Sync that
// would make room does not come.
func (s *Session) drawAnswers(st *Step) {
	if s.srv.fifo.len() >= maxOutstanding && s.body == 0 {
		st.ToServer.Put(wire.AppendEmpty(st.ToServer.Own(), wire.Flush))
	}
}

// sendCancel sends the cancel request that the session has got, once what it would hit is the client's: not while a
// statement of pgtier's own runs. What pgtier adds to a batch of the client's belongs to that.
func (s *Session) sendCancel(st *Step) {
	if r := s.srv.fifo.running(); s.cancel && r != nil && (r.mode != skipped || r.own == ownParse || r.own == ownClose) {
		s.cancel = false
		st.Server = s.srv
		st.Do |= CancelServer
	}
}

// release gives the server back. The session is idle.
func (s *Session) release(st *Step) {
	st.Server = s.srv
	if s.srv.spent {
		s.srv.terminate(st) // after DISCARD ALL of the client's, or a probe
	} else {
		st.Do |= Release
	}
	s.Counts.Transactions++
	if !s.Decision.Tier.Guard {
		s.srv.role = "" // whatever the client's SQL has made of it
	}
	s.srv.session = nil
	s.srv = nil
	s.cancel = false
	s.marks = nil
	s.become(Idle, st.Now)
	s.hear(st)
	if s.leaving {
		s.close(st, ReasonShutdown, errShutdown)
	}
}
