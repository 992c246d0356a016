package session

import (
	"maps"
	"slices"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// LISTEN in transaction mode. The hub of the pool (package proxy/notify) listens on a connection of its own, for all clients.
//
// Before a LISTEN goes to the server that the client has on lease, the client is not read until the hub has said that it
// listens to that channel. Then the LISTEN goes on as it is: whether it is allowed, what it answers and which transaction it
// belongs to is PostgreSQL's business. When the transaction has ended, the server is asked what it listens to now, which is
// what has committed, and in the same breath told to stop: from then on the hub's copy is the only one. What the server
// itself said of these channels before that is dropped.
//
// A channel of a session:
//
//	none --LISTEN read--> asked --the hub listens--> ready --it has committed--> active
//	asked --the hub cannot--> none, and the LISTEN fails
//	ready --it has not committed--> none
//	active --UNLISTEN or DISCARD ALL has committed--> none
//
// What cannot be shared pins the server, as all LISTEN once did: a name outside ASCII, a text that streams through, a client
// with another encoding than the hub's.
type channelState uint8

const (
	channelAsked channelState = iota
	channelReady
	channelActive
)

// hearing is what a session knows of its channels; nil for most.
type hearing struct {
	channels map[string]channelState
	requests []ChannelRequest // for the hub, until the loop takes them
	waiting  int              // channels that are asked: the client is not read
	resuming bool             // none is any more: the frame that waited is looked at again
	refusal  *pgerr.Error     // why the frame that waited fails

	attempts          // since the server was asked last
	asking   attempts // what it is asked about at the moment

	unsettled bool // one may be ready of which no LISTEN was sent

	encoding string   // of what the hub says
	queue    [][]byte // notifications that may not be delivered yet
	queued   int      // their bytes
}

// ChannelRequest asks the hub of the session's pool to listen to a channel for it, or to stop.
type ChannelRequest struct {
	Name   string
	Listen bool
}

// maxChannels bounds what one client costs the hub. Someone who listens to a channel for each of thousands of objects would
// like it bigger; PostgreSQL walks the list for each notification.
const maxChannels = 1000

// TakeChannels returns what the hub is to be asked, oldest first; the effect Channels says that there is something.
func (s *Session) TakeChannels() []ChannelRequest {
	h := s.hearing
	if h == nil {
		return nil
	}
	all := h.requests
	h.requests = nil
	return all
}

// mayRead reports whether the client is read: not while its LISTEN waits for the hub, nor while the server is asked what has
// become of one.
func (h *hearing) mayRead() bool { return h == nil || h.waiting == 0 && !h.asking.any() }

// resumed is called when the client's bytes have been looked at again.
func (h *hearing) resumed() {
	if h != nil {
		h.resuming = false
	}
}

// holds reports whether the lease must go on.
func (h *hearing) holds() bool { return h.stalled() || h.owes() }

// stalled reports whether the client waits for the hub.
func (h *hearing) stalled() bool { return h != nil && (h.waiting > 0 || h.resuming) }

// owes reports whether the server may listen to something, or the fate of a statement is not known.
func (h *hearing) owes() bool { return h != nil && (h.attempts.any() || h.asking.any()) }

// listens is called with each text before it goes to the server; whole says that its frame can wait, as a whole or by its
// beginning. wait says that it has to; e that the text fails.
func (s *Session) listens(st *Step, n *note, whole bool) (wait bool, e *pgerr.Error) {
	if n == nil || len(n.channels.listens) == 0 || !s.hub || !whole || s.foreignEncoding(s.srv.encoding) {
		return false, nil
	}
	if s.hearing == nil {
		s.hearing = &hearing{channels: make(map[string]channelState), encoding: s.srv.encoding}
	}
	h := s.hearing
	if h.refusal != nil {
		e, h.refusal = h.refusal, nil
		return false, e
	}
	fresh := h.fresh(n.channels.listens)
	if len(h.channels)+len(fresh) > maxChannels {
		return false, pgerr.New(pgerr.ProgramLimitExceeded, "too many channels").
			WithHint("A client of pgtier may listen to %d channels.", maxChannels)
	}
	for _, name := range fresh {
		h.ask(st, name, true)
		h.channels[name] = channelAsked
		h.waiting++
	}
	return h.waiting > 0, nil
}

// fresh returns those of the names that are new, each once.
func (h *hearing) fresh(names []string) (fresh []string) {
	for _, name := range names {
		if _, known := h.channels[name]; !known && !slices.Contains(fresh, name) {
			fresh = append(fresh, name)
		}
	}
	return fresh
}

func (h *hearing) ask(st *Step, name string, listen bool) {
	h.requests = append(h.requests, ChannelRequest{name, listen})
	st.Do |= Channels
}

// forget ends the subscription to a channel.
func (h *hearing) forget(st *Step, name string) {
	delete(h.channels, name)
	h.ask(st, name, false)
}

// HubAnswered is called when the hub listens to the channel, or cannot. If the session may be read after that, what it did not
// take before is presented to it again.
func (s *Session) HubAnswered(_ *Step, name string, e *pgerr.Error) {
	h := s.hearing
	if h == nil {
		return
	}
	if was, known := h.channels[name]; !known || was != channelAsked {
		return
	}
	if h.waiting--; h.waiting == 0 {
		h.resuming = true
	}
	h.channels[name], h.unsettled = channelReady, true
	if e != nil {
		delete(h.channels, name)
		refusal := *e
		refusal.Severity = "ERROR" // the statement fails, the session lives
		h.refusal = &refusal
	}
}

// settleChannels is called when the server is outside a transaction with nothing outstanding. It finds out what has become
// of the attempts, and reports whether the lease has to go on for that.
func (s *Session) settleChannels(st *Step) (busy bool) {
	h := s.hearing
	if h == nil {
		return false
	}
	if len(h.requests) > 0 {
		st.Do |= Channels // of a DISCARD ALL
	}
	if h.stalled() || !h.unsettled && !h.attempts.any() || s.inBatch || s.body > 0 && !s.dropBody {
		return false
	}
	h.asking, h.attempts, h.unsettled = h.attempts, attempts{}, false
	if len(h.asking.listened) > 0 {
		s.srv.send(st, ownChannels, h.query())
		return true
	}
	h.resolve(st, nil)
	return false
}

// query asks what has been committed, and ends it for the channels that the hub has. The names are ASCII.
func (h *hearing) query() string {
	q := []byte("SELECT '', c FROM pg_catalog.pg_listening_channels() c")
	names := slices.Clone(h.asking.listened)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, known := h.channels[name]; known {
			q = sqlscan.QuoteIdent(append(q, "; UNLISTEN "...), name)
		}
	}
	return string(q)
}

// channelsAnswered takes the answer to query.
func (s *Session) channelsAnswered(st *Step) {
	said := s.srv.take()
	h := s.hearing
	if h == nil {
		return
	}
	committed := make(map[string]bool, len(said.rows))
	for _, row := range said.rows {
		committed[row.Value] = true
		if _, known := h.channels[row.Value]; !known {
			s.pinned |= sqlscan.Listens // by a function, or by another spelling than pgtier understood
		}
	}
	if len(said.missing) > 0 {
		s.pinned |= sqlscan.Listens
	}
	h.resolve(st, committed)
}

// channelsUnknown is called when query failed. Nothing may be lost: everything counts as committed that would be
// missed, and the server, which may listen still, stays with the client.
func (s *Session) channelsUnknown(st *Step) {
	s.srv.take()
	s.pinned |= sqlscan.Listens
	h := s.hearing
	if h == nil {
		return
	}
	committed := make(map[string]bool)
	for _, name := range h.asking.listened {
		committed[name] = true
	}
	h.asking.undone = true
	h.resolve(st, committed)
}

// resolve decides what has become of the attempts that the server was asked about; committed is what it listened to.
// UNLISTEN leaves no trace that could be asked for: it counts unless something was undone since, and if it counts for less
// than it should the client hears too much, not too little.
func (h *hearing) resolve(st *Step, committed map[string]bool) {
	a := h.asking
	h.asking = attempts{}
	for _, name := range slices.Sorted(maps.Keys(h.channels)) {
		switch state := h.channels[name]; {
		case committed[name]:
			h.channels[name] = channelActive
		case state == channelReady,
			state == channelActive && !a.undone && (a.unlistenAll || slices.Contains(a.unlistened, name)):
			h.forget(st, name)
		}
	}
}

// deafen ends all subscriptions: DISCARD ALL has succeeded. What the hub is asked for at the moment is for a LISTEN behind
// it. A LISTEN behind it that has been sent already will be found on the server, and pins it.
func (h *hearing) deafen() {
	if h == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.channels)) {
		if h.channels[name] != channelAsked {
			delete(h.channels, name)
			h.requests = append(h.requests, ChannelRequest{Name: name})
		}
	}
	h.queue, h.queued = nil, 0
}

// notification judges what the server on lease says of a channel: what the hub says as well is not said twice.
func (v *Server) notification(st *Step, size int, frame []byte) verdict {
	s := v.session
	if s == nil || v.prefix.pending { // what somebody else has listened to
		return drop
	}
	if s.hearing != nil {
		name, ok := wire.NotificationChannel(frame)
		switch {
		case ok:
			if _, known := s.hearing.channels[string(name)]; known {
				return drop
			}
		case len(frame) < size && len(frame) < maxParameter:
			return more
		default:
			return v.unexpected(st, wire.NotificationResponse)
		}
	}
	if s.state == Linked && (!s.pooled || s.pinned&sqlscan.Listens != 0) {
		return pass // whatever is outstanding
	}
	return v.mine(v.fifo.first())
}
