package session

import (
	"fmt"
	"time"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Effect is something that the loop does for a session after it has sent the step's bytes.
type Effect uint16

// The effects. They concern Step.Server where a server is meant.
const (
	Acquire      Effect = 1 << iota // ask the pool for a server for this session
	Withdraw                        // the session waits no longer: leave the queue
	Release                         // Server is clean for its identity and goes back to its pool
	Discard                         // close Server
	CloseClient                     // close the client's socket after sending what is left for it
	CancelServer                    // send a cancel request for what Server is running
	Orphan                          // Server has no session any more and cleans itself; give it a bounded time
	Channels                        // tell the pool's hub what TakeChannels returns
)

// Step is one event's outcome. A loop has one and uses it again and again.
type Step struct {
	Now      int64 // monotonic nanoseconds, as of the loop's last wake-up
	ToClient Sink
	ToServer Sink
	Server   *Server // what ToServer and the effects concern
	Do       Effect
	Usage    Usage // of the session's pool; filled in before Expired
	Unsent   int   // bytes that the client's socket has not taken; filled in before Heard
}

// Reset empties the step. in is the receive buffer whose bytes Pass may refer to.
func (st *Step) Reset(now int64, in []byte) {
	st.Now, st.Server, st.Do = now, nil, 0
	st.ToClient.reset(in)
	st.ToServer.reset(in)
}

// Sink gathers what one step sends to one socket. Bytes that stay as they came and lie side by side in the receive buffer
// are sent from there; as soon as something is inserted, left out or rewritten, everything is gathered into one buffer, so
// that there is one write either way.
type Sink struct {
	in       []byte
	from, to int // the run in in; empty when from == to
	own      []byte
}

func (k *Sink) reset(in []byte) {
	k.in, k.from, k.to = in, 0, 0
	if cap(k.own) > maxSinkKept {
		k.own = nil // a rare large rewrite must not stay for ever
	}
	k.own = k.own[:0]
}

const maxSinkKept = 256 << 10

// Pass sends in[from:to] as it is.
func (k *Sink) Pass(from, to int) {
	if from == to {
		return
	}
	if len(k.own) > 0 {
		k.own = append(k.own, k.in[from:to]...)
		return
	}
	if k.to == from && k.from != k.to {
		k.to = to
		return
	}
	if k.from == k.to {
		k.from, k.to = from, to
		return
	}
	k.spill()
	k.own = append(k.own, k.in[from:to]...)
}

// Own returns the gathering buffer, with everything passed so far in it, to append to; Put gives it back.
func (k *Sink) Own() []byte {
	k.spill()
	return k.own
}

// Put stores what Own returned and the caller appended to.
func (k *Sink) Put(own []byte) { k.own = own }

func (k *Sink) spill() {
	if k.from != k.to {
		k.own = append(k.own, k.in[k.from:k.to]...)
		k.from, k.to = 0, 0
	}
}

// Bytes returns what is to be sent. It is valid until the next Reset or receive.
func (k *Sink) Bytes() []byte {
	if k.from != k.to {
		return k.in[k.from:k.to]
	}
	return k.own
}

// Usage tells how full a pool is and whether its server can be reached, for the text of an error.
type Usage struct {
	InUse, Size int
	Down        *pgerr.Error // why there is no server at all; nil when there are some

	Paused    bool          // nothing is lent at present, whatever is free
	PausedFor time.Duration // of the session's waiting, how long that was so
}

// PoolInUse returns "2 of 2 in use".
func (st *Step) PoolInUse() string {
	return fmt.Sprintf("%d of %d in use", st.Usage.InUse, st.Usage.Size)
}
