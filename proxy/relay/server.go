package relay

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/session"
)

// serverConn is the loop's record of one server connection.
type serverConn struct {
	socket
	srv     *session.Server
	cancel  Canceller
	cancels int   // cancel requests for it under way: it is not lent again before they are over
	parked  bool  // clean, and waits for them
	haunted bool  // one of them may arrive at any time: closed in place of being lent again
	closeBy int64 // an orphan's time; 0 = it is none
	failure error // why its socket does not work
	opened  int64 // when it was handed to the relay, monotonic nanoseconds
}

// orphanTime is how long a server without a session may take to become clean.
const orphanTime = 10 * time.Second

// opened takes over a server connection that has just logged in.
func (l *Loop) opened(p *pool.Pool, v *serverConn) {
	v.srv.Conn.Owner, v.srv.Conn.Loop = v, l.id
	v.socket.server = v
	if err := l.register(&v.socket); err != nil {
		l.unregister(&v.socket)
		v.shut(l.in)
		l.pool(pool.Event{Kind: pool.OpenFailed, Pool: p, Err: err})
		return
	}
	l.pool(pool.Event{Kind: pool.Opened, Pool: p, Conn: &v.srv.Conn})
}

// readServer lets a server's session, or the orphan itself, take what the server has sent.
func (l *Loop) readServer(v *serverConn) {
	for range maxTurns {
		sess := v.srv.Session()
		if sess == nil && v.closeBy == 0 {
			l.idleSpoke(v)
			return
		}
		var c *Client
		if sess != nil {
			c = sess.Waiter.Owner.(*Client)
			if c.full() {
				return // until the client has taken what it has been sent
			}
		}
		more := l.takeFromServer(v, c)
		if c != nil && (c.readable || len(c.stash) > 0) && c.sess.MayRead() {
			l.again(&c.socket) // a session that has just been prepared, has its role again, or whose pipeline was full
		}
		if !more {
			return
		}
	}
	l.again(&v.socket)
}

// takeFromServer reads once. It reports whether there may be more to read. When it reports that there is not, the server
// may be another loop's already and must not be touched.
func (l *Loop) takeFromServer(v *serverConn, c *Client) (more bool) {
	if !v.readable {
		return false
	}
	fd := v.nc.FD()
	n := copy(l.in, v.stash)
	got, done, err := v.recv(l.in[n:])
	v.readable = !done
	if err == nil {
		err = v.failure
	}
	l.begin()
	if n += got; got > 0 {
		used := v.srv.FromServer(&l.step, l.in[:n])
		v.keep(l.in[used:n])
	}
	if err != nil {
		l.serverEnded(v, c, err)
	}
	l.finish(c)
	return l.sockets[fd] == &v.socket && v.readable // else it has been closed, or granted to another loop's client
}

// serverEnded continues the step in which a server on lease, or an orphan, was found to be gone.
func (l *Loop) serverEnded(v *serverConn, c *Client, err error) {
	switch {
	case c != nil && v.srv.Session() == c.sess:
		c.sess.ServerGone(&l.step, err.Error())
	case l.step.Do&session.Release != 0: // released in this very step: the pool must not have it
		l.step.Do = l.step.Do&^session.Release | session.Discard
	default:
		l.step.Server, l.step.Do = v.srv, l.step.Do|session.Discard
	}
}

// idleSpoke is called when a server that nobody has on lease may have sent something. A server may only speak when it has
// been spoken to: what it says at its end (57P01) concerns nobody, and it is closed, quietly. If the pool has granted it to
// another loop's client meanwhile, the grant finds out.
func (l *Loop) idleSpoke(v *serverConn) {
	got, done, err := v.recv(l.in)
	v.readable = !done
	if got == 0 && err == nil {
		return
	}
	v.failure = errSpoke
	if v.parked {
		v.parked = false
		l.discard(v)
	} else {
		l.pool(pool.Event{Kind: pool.Lost, Conn: &v.srv.Conn})
	}
	l.carryOut()
}

var errSpoke = errors.New("the server ended the connection while it was idle")

// broken notes that sending failed. What the server still sent is read first; then reading finds the end.
func (v *serverConn) broken(err error) {
	v.unsendable(err)
}

// release gives a clean server back to its pool, or parks it until the cancel requests for it are over.
func (l *Loop) release(v *serverConn) {
	v.closeBy = 0
	if v.cancels > 0 {
		v.parked = true
		return
	}
	if v.haunted {
		l.discard(v)
		return
	}
	l.pool(pool.Event{Kind: pool.Released, Conn: &v.srv.Conn})
}

// discard closes a server that is not idle.
func (l *Loop) discard(v *serverConn) {
	if v.closed {
		return
	}
	l.unregister(&v.socket)
	v.shut(l.in)
	l.pool(pool.Event{Kind: pool.Discarded, Conn: &v.srv.Conn})
}

// orphan gives a server whose client has left a bounded time to become clean.
func (l *Loop) orphan(v *serverConn) {
	v.closeBy = l.now + int64(orphanTime)
	l.timers.arm(&v.socket, v.closeBy)
	l.again(&v.socket)
}

func (l *Loop) serverTimeout(v *serverConn) {
	switch {
	case v.closeBy == 0:
	case v.closeBy > l.now:
		l.timers.arm(&v.socket, v.closeBy)
	default:
		l.group.opt.Log.Warn("server connection not clean in time, closed",
			zap.String("database", v.srv.Key.Database), zap.String("tier", v.srv.Key.Tier), zap.Uint32("server_pid", v.srv.PID))
		l.discard(v)
		l.carryOut()
	}
}

// cancelServer sends a cancel request, one at a time for a server.
func (l *Loop) cancelServer(v *serverConn) {
	if v.cancels > 0 || v.cancel == nil {
		return
	}
	v.cancels++
	g := l.group
	g.work.Go(func() {
		ctx, stop := context.WithTimeout(g.ctx, g.opt.CancelWait)
		defer stop()
		err := v.cancel.Send(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			g.opt.Log.Warn("cancel request failed", zap.Uint32("server_pid", v.srv.PID), zap.Error(err))
		}
		l.post(task{do: taskCancelled, server: v, unsure: err != nil})
	})
}

// cancelled is called when a cancel request for v is over, or is not waited for any longer: then it may still be on its way,
// and must find nobody else's query there when it arrives.
func (l *Loop) cancelled(v *serverConn, unsure bool) {
	v.cancels--
	v.haunted = v.haunted || unsure
	if v.parked && !v.closed {
		v.parked = false
		l.release(v)
	}
}

// open logs in to a server in a goroutine of its own.
func (l *Loop) open(p *pool.Pool, loop int) {
	g := l.group
	to := g.loops[loop%len(g.loops)]
	g.work.Go(func() {
		conn, err := g.opt.Dialer.Dial(g.ctx, p)
		if err == nil {
			_, err = conn.Net.Detach()
		}
		if err != nil {
			to.post(task{do: taskFailed, pool: p, dial: asDialError(err)})
			return
		}
		v := &serverConn{
			socket: socket{nc: conn.Net, tls: conn.TLS},
			srv:    session.NewServer(p.Key, conn.PID, conn.Addr, conn.Params),
			cancel: conn.Cancel,
			opened: now(),
		}
		to.post(task{do: taskOpened, pool: p, server: v})
	})
}

func asDialError(err error) *DialError {
	var d *DialError
	if errors.As(err, &d) {
		return d
	}
	return &DialError{Cause: err}
}
