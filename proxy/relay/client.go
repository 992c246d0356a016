package relay

import (
	"errors"
	"time"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

// Client is the loop's record of one client.
type Client struct {
	socket
	sess    *session.Session
	listens bool  // it has been subscribed to something
	owed    int   // grants under way for requests that have been withdrawn
	closeBy int64 // when closing is not waited for any longer
}

// lingerTime is how long a closing client may take to read its last bytes.
const lingerTime = 5 * time.Second

func (l *Loop) adoptClient(c *Client) {
	if err := l.register(&c.socket); err != nil {
		l.unregister(&c.socket)
		c.shut(l.in)
		l.group.left()
		return
	}
	l.clients[c] = struct{}{}
	c.readable = c.tls != nil // it may hold bytes that came with the handshake, of which no edge tells
	l.begin()
	c.sess.Begin(&l.step)
	l.finish(c)
	l.again(&c.socket)
	if l.draining {
		l.drainClient(c)
	}
}

// begin empties the step for the next event.
func (l *Loop) begin() { l.step.Reset(l.now, l.in) }

// readClient lets the session take what its client has sent.
func (l *Loop) readClient(c *Client) {
	progress := false
	for range maxTurns {
		switch {
		case c.closed || c.closing || !c.readable && len(c.stash) == 0:
			return
		case c.sess.MayRead():
			if c.stalled() {
				return // until the peer that is full has been drained
			}
			l.begin()
			if progress = l.takeFromClient(c); !progress {
				return
			}
		case c.hup:
			l.lastWords(c)
			return
		case c.sess.State() == session.Idle && (c.readable || progress): // progress: what is left is a frame that needs a server
			l.begin()
			c.sess.Wake(&l.step)
			l.finish(c)
			if c.sess.State() == session.Waiting {
				return
			}
		default:
			return
		}
	}
	l.again(&c.socket)
}

// stalled reports whether the client must not be read because somebody does not read: its server, or the client itself,
// which would pile up answers that pgtier gives.
func (c *Client) stalled() bool {
	if v := c.sess.Server(); v != nil && v.Owner.(*serverConn).full() {
		return true
	}
	return len(c.nc.Out) > recvBuffer
}

// takeFromClient reads once and continues the step that has begun: what the session already left in it is sent in the same
// write. It reports whether there may be more to read.
func (l *Loop) takeFromClient(c *Client) (more bool) {
	n := copy(l.in, c.stash)
	var got int
	var err error
	if c.readable && n < len(l.in) { // a frame that waits for the hub may have filled the buffer
		var done bool
		got, done, err = c.recv(l.in[n:])
		c.readable = !done
	}
	stuck := got == 0
	if n += got; n > 0 {
		used := c.sess.FromClient(&l.step, l.in[:n])
		c.keep(l.in[used:n])
		c.sess.Settle(&l.step)
		stuck = stuck && used == 0
	}
	if err != nil {
		c.sess.ClientGone(&l.step)
	}
	l.finish(c)
	return !stuck && (c.readable || len(c.stash) > 0 && c.sess.State() == session.Idle)
}

// lastWords reads what a client left behind that is gone, and that has no server: Terminate, most often. A request is not
// run for nobody.
func (l *Loop) lastWords(c *Client) {
	l.begin()
	if c.sess.State() == session.Idle && c.readable {
		n := copy(l.in, c.stash)
		got, _, err := c.recv(l.in[n:])
		if n += got; n > 0 && (err == nil || errors.Is(err, errGone)) {
			c.sess.FromClient(&l.step, l.in[:n])
		}
	}
	c.readable = false
	c.sess.ClientGone(&l.step)
	l.finish(c)
}

// finish sends what the step left and carries out its effects. c is nil for a server without a session.
func (l *Loop) finish(c *Client) {
	st := &l.step
	do, server := st.Do, st.Server
	if b := st.ToServer.Bytes(); len(b) > 0 && server != nil {
		v := server.Owner.(*serverConn)
		if err := v.send(b); err != nil {
			v.broken(err)
		}
	}
	if c != nil {
		if err := c.send(st.ToClient.Bytes()); err != nil {
			c.unsendable(err)
		}
		l.timers.arm(&c.socket, c.sess.Deadline())
	}
	if do != 0 {
		l.effects(c, server, do)
	}
	l.carryOut()
}

// effects carries out what a step asks for, apart from sending.
func (l *Loop) effects(c *Client, server *session.Server, do session.Effect) {
	if do&session.CancelServer != 0 {
		l.cancelServer(server.Owner.(*serverConn))
	}
	if do&session.Withdraw != 0 && !l.group.opt.Pools.Withdraw(&c.sess.Waiter) {
		c.owed++
	}
	switch {
	case do&session.Discard != 0:
		l.discard(server.Owner.(*serverConn))
	case do&session.Release != 0:
		l.release(server.Owner.(*serverConn))
	case do&session.Orphan != 0:
		l.orphan(server.Owner.(*serverConn))
	}
	if do&session.Acquire != 0 {
		l.pool(pool.Event{Kind: pool.Acquire, Pool: c.sess.Pool, Waiter: &c.sess.Waiter})
	}
	if do&session.Channels != 0 {
		l.askHub(c)
	}
	if do&session.CloseClient != 0 {
		l.closeClient(c)
	} else if c != nil && do&session.Release != 0 {
		l.again(&c.socket) // it may have sent its next request already
	}
}

// closeClient closes the client's socket once the last bytes are on their way.
func (l *Loop) closeClient(c *Client) {
	if c.listens {
		l.group.hubs.Leave(c, c.sess.Pool)
	}
	if ended := l.group.opt.Ended; ended != nil {
		ended(c.sess, &End{Now: l.now})
	}
	if c.posted {
		l.engine.flush()
	}
	if !c.full() {
		l.drop(&c.socket)
		return
	}
	c.closing = true
	c.closeBy = l.now + int64(lingerTime)
	l.timers.arm(&c.socket, c.closeBy)
}

// granted hands a server of this loop to a client of this loop, and reads the client at once.
func (l *Loop) granted(c *Client, v *serverConn) {
	switch {
	case c.owed > 0 || c.sess.State() != session.Waiting:
		c.owed = max(0, c.owed-1)
		l.pool(pool.Event{Kind: pool.Released, Conn: &v.srv.Conn})
		return
	case v.failure != nil || v.hup: // it ended while it was idle: another one will do
		l.discard(v)
		l.pool(pool.Event{Kind: pool.Acquire, Pool: c.sess.Pool, Waiter: &c.sess.Waiter})
		return
	}
	before := l.current
	l.current = &c.socket
	defer func() { l.current = before }()
	l.begin()
	c.sess.Granted(&l.step, v.srv)
	if c.sess.MayRead() && (c.readable || len(c.stash) > 0) && !c.stalled() {
		if l.takeFromClient(c) {
			l.again(&c.socket)
		}
		return
	}
	l.finish(c)
}

func (l *Loop) rejected(c *Client, err error) {
	if c.owed > 0 || c.sess.State() != session.Waiting {
		c.owed = max(0, c.owed-1)
		return
	}
	l.begin()
	c.sess.Rejected(&l.step, publicError(err))
	l.finish(c)
}

// publicError is what a client may be told of err.
func publicError(err error) *pgerr.Error {
	var dial *DialError
	if errors.As(err, &dial) && dial.Public != nil {
		return dial.Public
	}
	public, _ := pgerr.From(err)
	return public
}

// timeout looks at a socket whose moment has come.
func (l *Loop) timeout(s *socket) {
	if s.closed {
		return
	}
	if s.server != nil {
		l.serverTimeout(s.server)
		return
	}
	c := s.client
	if c.closing {
		if l.now >= c.closeBy {
			l.drop(s)
		} else {
			l.timers.arm(s, c.closeBy)
		}
		return
	}
	at := c.sess.Deadline()
	if at == 0 || at > l.now {
		l.timers.arm(s, at)
		return
	}
	l.guard(s, func() {
		l.begin()
		l.step.Usage = l.usage(c.sess)
		c.sess.Expired(&l.step)
		l.finish(c)
	})
	if c.sess.State() == session.Idle {
		l.again(s) // its request is to be refused
	}
}

func (l *Loop) usage(s *session.Session) session.Usage {
	leased, size, down := l.group.opt.Pools.Usage(s.Pool)
	if own, most, bound := l.group.opt.Pools.Share(&s.Waiter); bound {
		leased, size = own, most
	}
	u := session.Usage{InUse: leased, Size: size}
	u.PausedFor, u.Paused = l.group.opt.Pools.PausedFor(&s.Waiter, l.now)
	if down != nil {
		u.Down = publicError(down)
	}
	return u
}

func (l *Loop) drainClient(c *Client) {
	if c.closed || c.closing {
		return
	}
	l.begin()
	c.sess.Drain(&l.step)
	l.finish(c)
}
