package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// What the hub hears is delivered when PostgreSQL would deliver it: outside a transaction and between two requests. Until
// then it waits here, within bounds.

const (
	// maxHeard bounds the notifications that wait for a client: here while it is in a transaction, or in its socket's buffer
	// when it does not read. A client that stays in transactions while thousands arrive would like it bigger; PostgreSQL keeps
	// up to 8 GB of them, on disk.
	maxHeard      = 4096
	maxHeardBytes = 1 << 20
)

// Heard is called with notifications from the hub. st.Unsent says what the client has not taken yet.
func (s *Session) Heard(st *Step, frames [][]byte) {
	h := s.hearing
	if h == nil || s.state == Closed {
		return
	}
	for _, f := range frames {
		if _, known := h.channels[channelOf(f)]; known {
			h.queue = append(h.queue, f)
			h.queued += len(f)
		}
	}
	if st.Unsent+h.queued <= maxHeardBytes {
		s.deliver(st, false)
		if len(h.queue) <= maxHeard {
			return
		}
	}
	s.close(st, ReasonDeaf, pgerr.Fatal(pgerr.ProgramLimitExceeded, "terminating connection: too many notifications wait for the client").
		WithHint("The client must read faster, and must not stay in transactions while it listens."))
}

// HubLost is called when the hub's connection has ended: what was sent meanwhile is lost to the session, as it would be to a
// client whose own connection had ended.
func (s *Session) HubLost(st *Step) {
	h := s.hearing
	if h == nil || len(h.channels) == h.waiting {
		return // what it waits for is answered
	}
	s.close(st, ReasonHubLost, pgerr.Fatal(pgerr.AdminShutdown, "terminating connection: the server connection that listens for notifications was lost").
		WithHint("Notifications may have been missed. Connect and LISTEN again."))
}

// hear is called behind the client's ReadyForQuery.
func (s *Session) hear(st *Step) {
	if s.state == Linked && s.hearing.stalled() {
		s.deadlines.requestBegins(s, st.Now)
	}
	s.deliver(st, true)
}

// deliver sends what has waited, if it may be sent now; atReady says that ReadyForQuery was the last thing sent.
func (s *Session) deliver(st *Step, atReady bool) {
	h := s.hearing
	if h == nil || len(h.queue) == 0 || !s.mayHear(atReady) {
		return
	}
	foreign := s.foreignEncoding(h.encoding)
	own := st.ToClient.Own()
	for _, f := range h.queue {
		if h.channels[channelOf(f)] != channelActive {
			continue
		}
		if foreign && !isASCII(f[wire.HeaderSize+4:]) {
			st.ToClient.Put(own)
			s.close(st, ReasonDeaf, pgerr.Fatal(pgerr.UntranslatableCharacter, "terminating connection: a notification cannot be converted to the client's encoding").
				WithHint("LISTEN after client_encoding has been set, not before."))
			return
		}
		own = append(own, f...)
	}
	st.ToClient.Put(own)
	h.queue, h.queued = nil, 0
}

// mayHear reports whether PostgreSQL would deliver now. Behind ReadyForQuery that is so with further requests outstanding too.
func (s *Session) mayHear(atReady bool) bool {
	if s.hearing.holds() {
		return false // what it hears on some channel is not decided, and the order has to be kept
	}
	switch s.state {
	case Idle:
		return !s.skip
	case Linked:
		return s.srv.status == wire.Idle && (atReady || s.srv.clean() && s.srv.body == 0 && !s.inBatch)
	}
	return false
}

// foreignEncoding reports whether the client has asked for another encoding than this one, in which a hub talks.
func (s *Session) foreignEncoding(hubs string) bool {
	encoding, asked := s.want.Map()["client_encoding"]
	return asked && encoding != hubs
}

func channelOf(frame []byte) string {
	name, _ := wire.NotificationChannel(frame)
	return string(name)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
