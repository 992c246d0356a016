package notify

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// hub is the shell around one core: it has the connection and the goroutines.
//
//	dialling --> live --no subscription for Options.Linger--> closed
//	   |          +----the connection has ended-------------> closed
//	   +--> failed --after Options.Retry--------------------> closed
type hub struct {
	set  *Hubs
	pool *pool.Pool
	wake chan struct{} // there is something to send, or the last subscription has ended

	retired    chan struct{} // closed when it is to end
	retireOnce sync.Once

	mu      sync.Mutex
	core    core
	unsent  []byte
	failure *pgerr.Error // failed: what those are told who ask
	closed  bool         // takes no subscription any more
}

func newHub(s *Hubs, p *pool.Pool) *hub {
	return &hub{set: s, pool: p, wake: make(chan struct{}, 1), retired: make(chan struct{}), core: newCore()}
}

// subscribe reports false when h, which may be nil, takes no subscriptions. The caller carries out what it returns.
func (h *hub) subscribe(l Listener, channel string) (done output, ok bool) {
	if h == nil {
		return output{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return output{}, false
	case h.failure != nil:
		return output{answers: []answer{{l, channel, h.failure}}}, true
	}
	h.core.subscribe(l, channel)
	return h.collect(), true
}

// do runs fn on the core and carries out what follows.
func (h *hub) do(fn func(*core)) {
	h.mu.Lock()
	fn(&h.core)
	out := h.collect()
	h.mu.Unlock()
	out.carryOut()
}

// collect takes what has followed, with h.mu held, and sees to it that what is to be sent is sent.
func (h *hub) collect() output {
	out := h.core.take()
	if len(out.send) > 0 {
		h.unsent = append(h.unsent, out.send...)
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	return out
}

// carryOut calls the listeners.
func (o *output) carryOut() {
	for _, a := range o.answers {
		a.to.Answered(a.channel, a.err)
	}
	for _, l := range o.order {
		l.Heard(o.heard[l])
	}
	for _, l := range o.lost {
		l.Lost()
	}
}

// run is the hub's life.
func (h *hub) run() {
	ctx := h.set.ctx
	defer h.set.remove(h)
	conn, e := h.set.opt.Dial(ctx, h.pool)
	if e != nil {
		h.fail(e)
		wait(ctx, h.set.opt.Retry)
		h.close()
		return
	}
	// Closing is what ends a read or a write that waits.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	ended := make(chan error, 1)
	go func() { ended <- h.read(conn) }()
	err, reading := h.serve(conn, ended)
	_ = conn.Close()
	if reading {
		<-ended
	}
	if err != nil && ctx.Err() == nil {
		h.set.opt.Log.Warn("connection for notifications lost", zap.String("database", h.pool.Key.Database),
			zap.String("tier", h.pool.Key.Tier), zap.String("role", h.pool.Key.Role), zap.Error(err))
		h.lose()
	}
}

// serve sends what there is to send, until the connection ends or is not needed any more. reading says that the reader has
// not been heard of.
func (h *hub) serve(conn net.Conn, ended <-chan error) (err error, reading bool) {
	linger := time.NewTimer(h.set.opt.Linger)
	defer linger.Stop()
	for {
		b, idle := h.toSend()
		if len(b) > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := conn.Write(b); err != nil {
				return err, true
			}
			linger.Reset(h.set.opt.Linger)
		}
		var unused <-chan time.Time
		if idle {
			unused = linger.C
		}
		select {
		case <-h.wake:
		case err := <-ended:
			return err, false
		case <-h.retired:
			return errRetired, true
		case <-h.set.ctx.Done():
			return nil, true
		case <-unused:
			if h.closeUnused() {
				goodbye(conn)
				return nil, true
			}
		}
	}
}

// writeTimeout is how long the server may take to accept a few bytes. It reads whenever it is idle, and it is always idle.
const writeTimeout = 30 * time.Second

// toSend returns the bytes to send; idle says that nobody is subscribed to anything.
func (h *hub) toSend() (b []byte, idle bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, h.unsent = h.unsent, nil
	return b, h.core.empty()
}

// closeUnused closes the hub unless somebody has subscribed meanwhile.
func (h *hub) closeUnused() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = h.core.empty()
	return h.closed
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// fail tells those who wait that there is no connection, and those who ask from now on.
func (h *hub) fail(e *pgerr.Error) {
	h.do(func(c *core) {
		h.failure = e
		c.ended(e)
	})
}

var errRetired = errors.New("the configuration says another login or server now")

var errLost = pgerr.New(pgerr.ConnectionDied, "the server connection that listens for notifications was lost")

// lose tells everybody that the connection has gone.
func (h *hub) lose() {
	h.do(func(c *core) {
		h.closed = true
		c.ended(errLost)
	})
}

// goodbye ends the connection as the protocol wants it. What becomes of it matters to nobody.
func goodbye(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write(wire.AppendEmpty(nil, wire.Terminate))
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
