package pool

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestManyLoops: loops that use one Set at once never hold a connection together, and everybody is served.
func TestManyLoops(t *testing.T) {
	const sessions, rounds, size = 16, 200, 3
	s := NewSet()
	p := s.Pool(Key{Database: "EPMT", Tier: "rw"}, Settings{Size: size})
	var clock atomic.Int64
	holders := sync.Map{} // *Conn -> held
	grants := make([]chan *Conn, sessions)
	for i := range grants {
		grants[i] = make(chan *Conn, 1)
	}
	var step func(Event)
	step = func(ev Event) {
		for _, a := range s.Step(clock.Add(1), ev, nil) {
			switch a.Kind {
			case Grant:
				grants[a.Waiter.Owner.(int)] <- a.Conn
			case Open:
				step(Event{Kind: Opened, Pool: a.Pool, Conn: &Conn{Loop: a.Loop}})
			case Reject, Close:
				t.Errorf("action %d", a.Kind)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			w := &Waiter{Owner: i, Loop: i % 4, Identity: fmt.Sprint(i % 5)}
			for range rounds {
				step(Event{Kind: Acquire, Pool: p, Waiter: w})
				c := <-grants[i]
				if _, taken := holders.LoadOrStore(c, i); taken {
					t.Error("held twice")
				}
				c.Loop, c.Identity = w.Loop, w.Identity
				holders.Delete(c)
				step(Event{Kind: Released, Conn: c})
			}
		})
	}
	wg.Wait()
	check(t, s.core)
	if got := s.Stats()[0]; got.Idle > size || got.Leased != 0 || got.Opening != 0 || got.Waiters != 0 {
		t.Errorf("%+v", got)
	}
}

// TestSpread: no two connections of a pool end together, and none deviates by more than a tenth.
func TestSpread(t *testing.T) {
	p := &Pool{set: Settings{ServerLifetime: time.Hour}}
	seen := map[int64]int{}
	for serial := range uint64(100) {
		c := &Conn{pool: p, spread: spread(serial + 1)}
		at := time.Duration(c.expires())
		if at < 54*time.Minute || at > 66*time.Minute {
			t.Errorf("connection %d ends after %v", serial, at)
		}
		seen[int64(at)]++
	}
	for at, n := range seen {
		if n > 5 {
			t.Errorf("%d of 100 end after %v", n, time.Duration(at))
		}
	}
}

// TestSpareIsBounded: identities that come and go leave a bounded number of records.
func TestSpareIsBounded(t *testing.T) {
	s := NewSet()
	p := s.Pool(Key{Database: "EPMT", Tier: "rw"}, Settings{Size: 1})
	s.Step(1, Event{Kind: Acquire, Pool: p, Waiter: &Waiter{Identity: "first"}}, nil)
	c := &Conn{}
	s.Step(1, Event{Kind: Opened, Pool: p, Conn: c}, nil)
	s.Step(1, Event{Kind: Released, Conn: c}, nil)
	for i := range 3 * maxSpare {
		w := &Waiter{Identity: fmt.Sprint(i)}
		s.Step(2, Event{Kind: Acquire, Pool: p, Waiter: w}, nil)
		c.Identity = w.Identity
		s.Step(2, Event{Kind: Released, Conn: c}, nil)
	}
	if n := len(p.identities); n > maxSpare+3 {
		t.Errorf("%d records", n)
	}
	check(t, s.core)
}
