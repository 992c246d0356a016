package relay

import (
	"context"
	"time"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/session"
)

// atOnce is how many clients a loop looks at before it goes on with its work.
const atOnce = 256

// Views returns what may be told about clients: of each of those that still live, in no order, its index in clients with its
// view. It takes some turns of the loops when there are many; each client is seen at a moment of its own.
func (g *Group) Views(ctx context.Context, clients []*Client, each func(i int, v session.View)) error {
	byLoop := make([][]int, len(g.loops))
	for i, c := range clients {
		byLoop[c.loop.id] = append(byLoop[c.loop.id], i)
	}
	for id, indices := range byLoop {
		for len(indices) > 0 {
			some := indices[:min(atOnce, len(indices))]
			indices = indices[len(some):]
			views := make([]session.View, len(some))
			err := g.ask(ctx, id, func(l *Loop) {
				for n, i := range some {
					if c := clients[i]; !c.closed && !c.closing {
						views[n] = c.sess.View(l.now)
					} else {
						views[n].State = session.Closed
					}
				}
			})
			if err != nil {
				return err
			}
			for n, i := range some {
				if views[n].State != session.Closed {
					each(i, views[n])
				}
			}
		}
	}
	return nil
}

// ServerView is what may be told about one server connection.
type ServerView struct {
	session.ServerView
	Key    pool.Key
	PID    uint32
	Addr   string
	TLS    bool
	Since  time.Time // when it had logged in
	State  string    // "active": on lease; "idle"; "used": it is being made clean for the next one
	Pinned string    // why its session keeps it; "" when it does not
}

// Servers returns what may be told about every server connection. One that moves to another loop just then may be missing.
func (g *Group) Servers(ctx context.Context) ([]ServerView, error) {
	var all []ServerView
	for id := range g.loops {
		var found []ServerView
		err := g.ask(ctx, id, func(l *Loop) {
			for _, s := range l.sockets {
				if s != nil && s.server != nil {
					found = append(found, s.server.view(l.now))
				}
			}
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (v *serverConn) view(now int64) ServerView {
	view := ServerView{
		ServerView: v.srv.View(), Key: v.srv.Key, PID: v.srv.PID, Addr: v.srv.Addr, TLS: v.tls != nil,
		Since: time.Now().Add(-time.Duration(now - v.opened)), State: "idle",
	}
	switch s := v.srv.Session(); {
	case s != nil:
		view.State, view.Pinned = "active", s.View(now).Pinned
	case v.closeBy != 0, v.parked:
		view.State = "used"
	}
	return view
}

// ask lets a loop do something quick, and waits for it. When ctx ends first, the loop may still do it: what fn writes to must
// not be looked at then.
func (g *Group) ask(ctx context.Context, loop int, fn func(*Loop)) error {
	done := make(chan struct{})
	g.loops[loop].post(task{do: taskAsk, ask: func(l *Loop) { fn(l); close(done) }})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
