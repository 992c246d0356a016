package pool

import "testing"

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

var _ tb = (*testing.T)(nil)

// check holds a Core against everything that must be true between two events.
func check(t tb, c *Core) {
	t.Helper()
	totals := map[*domain]int{}
	idles := map[*domain]int{}
	for _, p := range c.order {
		checkPool(t, c, p)
		for _, d := range p.domains {
			if d != nil {
				totals[d] += p.total()
				idles[d] += p.conns.all.len
			}
		}
	}
	for d, n := range totals {
		if d.total != n || d.idle.len != idles[d] {
			t.Fatalf("domain counts %d connections, %d idle; its pools have %d, %d", d.total, d.idle.len, n, idles[d])
		}
	}
	for i, p := range c.heap {
		if p.place != i || p.due == 0 || i > 0 && c.heap[(i-1)/2].due > p.due {
			t.Fatalf("heap broken at %d", i)
		}
	}
}

func checkPool(t tb, c *Core, p *Pool) {
	t.Helper()
	if p.leased < 0 || p.opening < 0 || p.opening > maxOpening {
		t.Fatalf("%v: %d leased, %d opening", p.Key, p.leased, p.opening)
	}
	perLoop, perIdentity, perBoth, waiters, parked := 0, 0, 0, 0, 0
	for i := range p.conns.loops {
		perLoop += p.conns.loops[i].len
	}
	for name, who := range p.identities {
		perIdentity += who.idle.len
		waiters += who.waiters.len
		parked += who.parked.len
		if limit := p.set.PerIdentity; who.parked.len > 0 && (limit <= 0 || who.leases+who.waiters.len < limit) {
			t.Fatalf("%v: %d of %q are parked, with %d leases and %d in the queue", p.Key, who.parked.len, name, who.leases, who.waiters.len)
		}
		for i := range who.loops {
			perBoth += who.loops[i].len
		}
		if who.name != name || (who.filed == inRing) != (who.waiters.len > 0) {
			t.Fatalf("%v: identity %q is filed wrongly", p.Key, name)
		}
	}
	if n := p.conns.all.len; perLoop != n || perIdentity != n || perBoth != n {
		t.Fatalf("%v: %d idle, by loop %d, by identity %d, by both %d", p.Key, n, perLoop, perIdentity, perBoth)
	}
	if waiters != p.waiting.len || parked != p.parked.len {
		t.Fatalf("%v: %d waiters and %d parked, by identity %d and %d", p.Key, p.waiting.len, p.parked.len, waiters, parked)
	}
	for n := p.waiting.front; n != nil; n = n.next {
		if n.owner.passed > maxPassed {
			t.Fatalf("%v: a waiter was passed over %d times", p.Key, n.owner.passed)
		}
	}
	if p.waiting.len > 0 && p.conns.all.len > 0 {
		t.Fatalf("%v: %d wait although %d are idle", p.Key, p.waiting.len, p.conns.all.len)
	}
	if due := p.due != 0 && p.due <= c.now; c.wantsOpen(p) && p.blockedOn == nil && !due {
		t.Fatalf("%v: %d wait, nothing is opened for them and no Tick is due", p.Key, p.waiting.len)
	}
	if d := p.blockedOn; d != nil && c.wantsOpen(p) && (p.fullDomain() == nil || d.idle.len > 0) {
		t.Fatalf("%v: blocked although its cap has room", p.Key)
	}
	if p.paused && (p.conns.all.len > 0 || p.blockedOn != nil) {
		t.Fatalf("%v: paused, but a connection is idle or it waits for a cap", p.Key)
	}
	if c.draining && (p.waiting.len > 0 || p.conns.all.len > 0) {
		t.Fatalf("%v: draining, but waiters or idle connections are left", p.Key)
	}
}
