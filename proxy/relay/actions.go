package relay

import (
	"github.com/pgtier/pgtier/pool"
)

// pool tells the pools of an event; what follows from it is carried out by carryOut.
func (l *Loop) pool(ev pool.Event) { l.actions = l.group.opt.Pools.Step(l.now, ev, l.actions) }

// carryOut does what the pools asked for. One action may lead to others: they are queued behind it, not nested.
func (l *Loop) carryOut() {
	if l.carrying {
		return
	}
	l.carrying = true
	for l.carried < len(l.actions) {
		a := l.actions[l.carried]
		l.carried++ // first: should it panic, it is not carried out again
		l.carry(a)
	}
	clear(l.actions)
	l.actions, l.carried = l.actions[:0], 0
	l.carrying = false
}

func (l *Loop) carry(a pool.Action) {
	switch a.Kind {
	case pool.Open:
		l.open(a.Pool, a.Loop)
	case pool.Close:
		if l.elsewhere(a.Conn.Loop, a) {
			return
		}
		v := a.Conn.Owner.(*serverConn)
		l.unregister(&v.socket)
		v.shut(l.in)
	case pool.Reject:
		if !l.elsewhere(a.Waiter.Loop, a) {
			l.rejected(a.Waiter.Owner.(*Client), a.Err)
		}
	case pool.Grant:
		l.grant(a)
	case pool.Quiet:
		if quiet := l.group.opt.Quiet; quiet != nil {
			quiet(a.Pool)
		}
	}
}

// elsewhere posts a to the loop it concerns, unless that is this one.
func (l *Loop) elsewhere(loop int, a pool.Action) bool {
	if loop == l.id {
		return false
	}
	l.group.loops[loop].post(task{do: taskAction, action: a})
	return true
}

// grant hands a server to the waiter: first the loop that has the server lets go of it, then the waiter's takes it.
func (l *Loop) grant(a pool.Action) {
	if l.elsewhere(a.Conn.Loop, a) {
		return
	}
	v := a.Conn.Owner.(*serverConn)
	if to := a.Waiter.Loop; to != l.id {
		l.letGo(&v.socket)
		v.srv.Conn.Loop = to
		l.group.loops[to].post(task{do: taskMoved, server: v, action: a})
		return
	}
	l.granted(a.Waiter.Owner.(*Client), v)
}

// moved takes over a server that another loop let go of.
func (l *Loop) moved(v *serverConn, a pool.Action) {
	if err := l.register(&v.socket); err != nil {
		l.unregister(&v.socket)
		v.shut(l.in)
		l.pool(pool.Event{Kind: pool.Discarded, Conn: &v.srv.Conn})
		l.rejected(a.Waiter.Owner.(*Client), err)
		return
	}
	l.granted(a.Waiter.Owner.(*Client), v)
}

// task does what another goroutine asked for.
func (l *Loop) task(t *task) {
	switch t.do {
	case taskAdopt:
		l.adoptClient(t.client)
	case taskCancel:
		if c := t.client; !c.closed && !c.closing {
			l.current = &c.socket
			l.begin()
			c.sess.Cancel(&l.step)
			l.finish(c)
			l.again(&c.socket)
		}
	case taskKill:
		if c := t.client; !c.closed && !c.closing {
			l.begin()
			c.sess.Kill(&l.step, t.reason, t.err)
			l.finish(c)
		}
	case taskOpened:
		l.opened(t.pool, t.server)
	case taskFailed:
		l.failed(t)
	case taskCancelled:
		l.cancelled(t.server, t.unsure)
	case taskAction:
		l.carry(t.action)
	case taskMoved:
		l.moved(t.server, t.action)
	case taskPool:
		l.pool(t.event)
	case taskListening, taskHeard, taskHubLost:
		l.fromHub(t)
	case taskAsk:
		t.ask(l)
	case taskDrain:
		l.drain()
	case taskStop:
		l.stopping = true
	}
	l.carryOut()
}

func (l *Loop) failed(t *task) {
	l.pool(pool.Event{Kind: pool.OpenFailed, Pool: t.pool, Err: t.dial, Definite: t.dial.Definite})
}

// drain ends every session as soon as it has no transaction. The pools stay open until the last one has ended.
func (l *Loop) drain() {
	l.draining = true
	for c := range l.clients {
		l.drainClient(c)
	}
}
