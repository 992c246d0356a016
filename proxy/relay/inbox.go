package relay

import (
	"sync"
	"sync/atomic"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

// taskKind is what a loop is asked to do by another goroutine.
type taskKind uint8

const (
	taskAdopt     taskKind = iota // client: register it and begin its session
	taskCancel                    // client: a cancel request came with its key
	taskKill                      // client, reason, err
	taskOpened                    // pool, server: a login succeeded
	taskFailed                    // pool, dial: a login failed
	taskCancelled                 // server, unsure: a cancel request for it is over
	taskAction                    // action: of the pool's, about a connection or waiter of this loop
	taskMoved                     // server, action: registered nowhere; granted to a waiter of this loop
	taskPool                      // event: of the pool's, from outside the loops
	taskListening                 // client, channel, err: the hub's answer
	taskHeard                     // client, frames
	taskHubLost                   // client
	taskAsk                       // ask: to be called on the loop
	taskDrain
	taskStop
)

type task struct {
	do      taskKind
	client  *Client
	channel string
	frames  [][]byte
	ask     func(*Loop)
	server  *serverConn
	pool    *pool.Pool
	action  pool.Action
	event   pool.Event
	dial    *DialError
	err     *pgerr.Error
	reason  session.Reason
	unsure  bool // whether the cancel request has been dealt with is not known
}

// inbox is how other goroutines reach a loop. Posting never blocks.
type inbox struct {
	mu     sync.Mutex
	tasks  []task
	spare  []task
	filled atomic.Bool // tasks is not empty; lets the loop look without the lock
}

func (b *inbox) put(t task) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks = append(b.tasks, t)
	return !b.filled.Swap(true)
}

// take returns what was posted; the slice is valid until the next take.
func (b *inbox) take() []task {
	if !b.filled.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled.Store(false)
	taken := b.tasks
	clear(b.spare)
	b.tasks, b.spare = b.spare[:0], taken
	return taken
}

// post gives t to the loop.
func (l *Loop) post(t task) {
	if l.inbox.put(t) {
		l.engine.wake()
	}
}
