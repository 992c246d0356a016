package pool

import (
	"fmt"
	"testing"
	"time"
)

// lentPool returns a Set with one pool of n idle connections on two loops, each last used by an identity of its own.
func lentPool(t testing.TB, n int) (*Set, *Pool, []*Waiter) {
	t.Helper()
	set := NewSet()
	p := set.Pool(Key{Database: "EPMT", Tier: "rw"}, Settings{
		Size: n, ServerIdle: time.Minute, ServerLifetime: time.Hour, Server: "main", PerServer: 10 * n, PerDatabase: 10 * n,
	})
	waiters := make([]*Waiter, n)
	conns := make([]*Conn, n)
	var out []Action
	for i := range waiters {
		waiters[i] = &Waiter{Loop: i % 2, Identity: fmt.Sprint("identity-", i)}
		out = set.Step(1, Event{Kind: Acquire, Pool: p, Waiter: waiters[i]}, out[:0])
		if len(out) != 1 || out[0].Kind != Open {
			t.Fatal("no Open", out)
		}
		conns[i] = &Conn{Loop: i % 2}
		out = set.Step(1, Event{Kind: Opened, Pool: p, Conn: conns[i]}, out[:0])
		if len(out) != 1 || out[0].Waiter != waiters[i] {
			t.Fatal("no Grant", out)
		}
		conns[i].Identity = waiters[i].Identity
	}
	for _, c := range conns {
		set.Step(2, Event{Kind: Released, Conn: c}, out[:0])
	}
	return set, p, waiters
}

// cycle returns a function that acquires and releases once.
func cycle(t testing.TB, set *Set, p *Pool, waiters []*Waiter) func() {
	out := make([]Action, 0, 8)
	i, now := 0, int64(3)
	return func() {
		w := waiters[i%len(waiters)]
		i, now = i+1, now+1
		out = set.Step(now, Event{Kind: Acquire, Pool: p, Waiter: w}, out[:0])
		if len(out) == 0 || out[0].Kind != Grant {
			t.Fatal("no Grant", out)
		}
		c := out[0].Conn
		c.Loop, c.Identity = w.Loop, w.Identity
		out = set.Step(now, Event{Kind: Released, Conn: c}, out[:0])
	}
}

// contended returns a function that releases the only connection, which goes to the next of many waiters, and lets who
// had it queue again.
func contended(t testing.TB, identities int) func() {
	set, p, holder := lentPool(t, 1)
	holder[0].Identity = "identity-0"
	out := set.Step(3, Event{Kind: Acquire, Pool: p, Waiter: holder[0]}, make([]Action, 0, 8))
	c, has := out[0].Conn, holder[0]
	for i := range 64 {
		w := &Waiter{Loop: i % 2, Identity: fmt.Sprint("identity-", i%identities)}
		out = set.Step(3, Event{Kind: Acquire, Pool: p, Waiter: w}, out[:0])
	}
	now := int64(3)
	return func() {
		now++
		out = set.Step(now, Event{Kind: Released, Conn: c}, out[:0])
		if len(out) != 1 || out[0].Kind != Grant {
			t.Fatal("no Grant", out)
		}
		next := out[0].Waiter
		c.Loop, c.Identity = next.Loop, next.Identity
		out = set.Step(now, Event{Kind: Acquire, Pool: p, Waiter: has}, out[:0])
		has = next
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	set, p, waiters := lentPool(t, 20)
	paths := map[string]func(){
		"idle":                   cycle(t, set, p, waiters),
		"waiters, one identity":  contended(t, 1),
		"waiters, 64 identities": contended(t, 64),
	}
	for name, path := range paths {
		if n := testing.AllocsPerRun(1000, path); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	for _, n := range []int{1, 20, 1000} {
		b.Run(fmt.Sprint("identities=", n), func(b *testing.B) {
			set, p, waiters := lentPool(b, n)
			f := cycle(b, set, p, waiters)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkManyIdentities: 1,000 identities on 40 connections.
func BenchmarkManyIdentities(b *testing.B) {
	set, p, _ := lentPool(b, 40)
	waiters := make([]*Waiter, 1000)
	for i := range waiters {
		waiters[i] = &Waiter{Loop: i % 2, Identity: fmt.Sprint("other-", i)}
	}
	f := cycle(b, set, p, waiters)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkContended(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint("identities=", n), func(b *testing.B) {
			f := contended(b, n)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
