package session

import (
	"bytes"

	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// What texts do to channels, as their words say, and what is known of whether they have done it.

// channelNote is what a text does to channels.
type channelNote struct {
	listens     []string
	unshared    bool // and to one that cannot be shared
	unlistens   []string
	unlistenAll bool
}

func (n *channelNote) any() bool {
	return len(n.listens) > 0 || n.unshared || len(n.unlistens) > 0 || n.unlistenAll
}

func (n *channelNote) listen(st *sqlscan.Statement) {
	// A name outside ASCII is folded and cut by rules that depend on the server's encoding and locale.
	if name := st.Name(); name != "" && isASCII([]byte(name)) {
		n.listens = append(n.listens, name)
	} else {
		n.unshared = true
	}
}

func (n *channelNote) unlisten(st *sqlscan.Statement) {
	if st.All {
		n.unlistenAll = true
	} else {
		n.unlistens = append(n.unlistens, st.Name())
	}
}

// attempts are the statements of a lease whose fate is not known.
type attempts struct {
	listened    []string
	unlistened  []string
	unlistenAll bool
	undone      bool // something failed or was rolled back behind the first of them
}

func (a *attempts) any() bool { return len(a.listened) > 0 || len(a.unlistened) > 0 || a.unlistenAll }

// attempt takes note of a text that is sent to the server. It returns what the text pins the server for, which is not LISTEN
// when the hub listens to all that the text does.
func (s *Session) attempt(n *note) (pins sqlscan.Effects) {
	h := s.hearing
	if h == nil || !n.channels.any() {
		return n.pins
	}
	covered := len(n.channels.listens) > 0 && !n.channels.unshared
	for _, name := range n.channels.listens {
		if _, known := h.channels[name]; known {
			h.listened = append(h.listened, name)
		} else {
			covered = false
		}
	}
	h.unlistened = append(h.unlistened, n.channels.unlistens...)
	h.unlistenAll = h.unlistenAll || n.channels.unlistenAll
	if covered {
		return n.pins &^ sqlscan.Listens
	}
	return n.pins
}

// tag looks at the command tag of a statement of the client's.
func (h *hearing) tag(frame []byte) {
	if h != nil && h.attempts.any() && bytes.HasPrefix(frame[wire.HeaderSize:], []byte("ROLLBACK")) {
		h.undone = true
	}
}

// undo is called when a statement has failed.
func (h *hearing) undo() {
	if h != nil && h.attempts.any() {
		h.undone = true
	}
}
