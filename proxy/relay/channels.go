package relay

import (
	"context"
	"net"
	"time"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/notify"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// newHubs returns the hubs of all pools. Their goroutines reach clients by the inboxes of the clients' loops.
func (g *Group) newHubs() *notify.Hubs {
	return notify.New(notify.Options{Log: g.opt.Log, Dial: g.dialHub})
}

// dialHub logs in as for a server of the pool; the connection stays with the hub and is never given to a loop.
func (g *Group) dialHub(ctx context.Context, p *pool.Pool) (net.Conn, *pgerr.Error) {
	conn, err := g.opt.Dialer.Dial(ctx, p)
	if err != nil {
		return nil, publicError(asDialError(err))
	}
	_ = conn.Net.SetDeadline(time.Time{}) // the login's
	if conn.TLS != nil {
		return conn.TLS, nil
	}
	return conn.Net, nil
}

// Answered is called by the hub of the client's pool, as are Heard and Lost. They implement notify.Listener.
func (c *Client) Answered(channel string, err *pgerr.Error) {
	c.loop.post(task{do: taskListening, client: c, channel: channel, err: err})
}

// Heard gives the client's session notifications.
func (c *Client) Heard(frames [][]byte) { c.loop.post(task{do: taskHeard, client: c, frames: frames}) }

// Lost tells the client's session that the hub's connection has ended.
func (c *Client) Lost() { c.loop.post(task{do: taskHubLost, client: c}) }

// askHub carries out what the session wants of its pool's hub.
func (l *Loop) askHub(c *Client) {
	for _, r := range c.sess.TakeChannels() {
		if r.Listen {
			c.listens = true
			l.group.hubs.Subscribe(c, c.sess.Pool, r.Name)
		} else {
			l.group.hubs.Unsubscribe(c, c.sess.Pool, r.Name)
		}
	}
}

// fromHub lets a session take what the hub says.
func (l *Loop) fromHub(t *task) {
	c := t.client
	if c.closed || c.closing {
		return
	}
	l.current = &c.socket
	l.begin()
	l.step.Unsent = len(c.nc.Out)
	switch t.do {
	case taskListening:
		c.sess.HubAnswered(&l.step, t.channel, t.err)
	case taskHeard:
		c.sess.Heard(&l.step, t.frames)
	case taskHubLost:
		c.sess.HubLost(&l.step)
	}
	l.finish(c)
	if c.sess.MayRead() {
		l.again(&c.socket) // the frame that waited for the hub
	}
}
