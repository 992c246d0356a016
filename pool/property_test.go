package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is what is around a Core: sessions, sockets, logins under way. It believes nothing that the Core says.
type world struct {
	t       *rapid.T
	core    *Core
	now     int64
	pools   []*Pool
	set     map[*Pool]Settings
	opening map[*Pool]int
	waiters []*Waiter
	queued  map[*Waiter]*Pool
	held    map[*Conn]*Waiter // nil waiter: idle
	pool    map[*Conn]*Pool
	order   []*Conn      // alive, as they were opened
	limit   [numCaps]int // the caps that were configured last
	perTier map[string]int
	share   int // of one identity in a pool; 0 = everything

	told     int             // how often a pool was said to be quiet
	pausedAt map[*Pool]int64 // of the paused ones
	asked    map[*Waiter]int64
	paused   map[*Waiter]int64 // of its waiting, in pauses that are over
}

func newWorld(t *rapid.T) *world {
	w := &world{
		t: t, core: NewCore(), now: 1, set: map[*Pool]Settings{}, opening: map[*Pool]int{},
		perTier: map[string]int{}, queued: map[*Waiter]*Pool{}, held: map[*Conn]*Waiter{}, pool: map[*Conn]*Pool{},
		pausedAt: map[*Pool]int64{}, asked: map[*Waiter]int64{}, paused: map[*Waiter]int64{},
	}
	caps := drawCaps(t)
	w.share = rapid.IntRange(0, 3).Draw(t, "share")
	for i := range rapid.IntRange(1, 4).Draw(t, "pools") {
		s := drawSettings(t).capped(caps)
		s.PerIdentity = w.share
		p := w.core.Pool(Key{Database: "EPMT", Tier: fmt.Sprint(i / 2), Identity: fmt.Sprint(i % 2)}, s)
		w.pools = append(w.pools, p)
		w.configured(p, s)
	}
	for i := range 12 {
		w.waiters = append(w.waiters, &Waiter{Owner: i, Loop: i % 3, Identity: fmt.Sprint("i", i%5)})
	}
	return w
}

func drawSettings(t *rapid.T) Settings {
	return Settings{
		Size: rapid.IntRange(1, 5).Draw(t, "size"), Min: rapid.IntRange(0, 2).Draw(t, "min"),
		Reserve: rapid.IntRange(0, 2).Draw(t, "reserve"), ReserveAfter: time.Second,
		ServerIdle:     time.Duration(rapid.IntRange(0, 2).Draw(t, "idle")) * time.Minute,
		ServerLifetime: time.Duration(rapid.IntRange(0, 2).Draw(t, "life")) * time.Hour,
		LoginRetry:     time.Duration(rapid.IntRange(0, 2).Draw(t, "retry")) * time.Second,
		Server:         rapid.SampledFrom([]string{"", "s"}).Draw(t, "server"),
	}
}

// drawCaps draws what all pools have in common.
func drawCaps(t *rapid.T) (caps [numCaps]int) {
	for i, name := range []string{perTier: "pertier", perDatabase: "perdb", perServer: "perserver"} {
		caps[i] = rapid.IntRange(0, 4).Draw(t, name)
	}
	return caps
}

func (s Settings) capped(caps [numCaps]int) Settings {
	s.PerTier, s.PerDatabase, s.PerServer = caps[perTier], caps[perDatabase], caps[perServer]
	return s
}

// configured notes new settings. The caps of one pool hold for all that have such a cap.
func (w *world) configured(p *Pool, s Settings) {
	w.set[p] = s
	if s.PerTier > 0 {
		w.perTier[p.Key.Tier] = s.PerTier
	}
	if s.PerDatabase > 0 {
		w.limit[perDatabase] = s.PerDatabase
	}
	if s.PerServer > 0 && s.Server != "" {
		w.limit[perServer] = s.PerServer
	}
}

// alive counts connections and logins of the pools that satisfy which.
func (w *world) alive(which func(*Pool) bool) (n int) {
	for _, p := range w.pool {
		if which(p) {
			n++
		}
	}
	for p, logins := range w.opening {
		if which(p) {
			n += logins
		}
	}
	return n
}

// step gives the Core an event and carries its actions out. back is a connection that the event gives back.
func (w *world) step(ev Event, back *Conn) {
	var quiet *Pool
	for _, a := range w.core.Step(w.now, ev, nil) {
		if w.isPaused(a.Pool) && (a.Kind == Grant || a.Kind == Open) {
			w.t.Fatal("a paused pool lends or opens")
		}
		switch a.Kind {
		case Quiet:
			if quiet != nil {
				w.t.Fatal("quiet twice")
			}
			quiet = a.Pool
			w.told++
		case Grant:
			if who := w.held[a.Conn]; who != nil && a.Conn != back {
				w.t.Fatalf("granted twice: to %v and %v", who.Owner, a.Waiter.Owner)
			}
			if w.pool[a.Conn] == nil || w.queued[a.Waiter] != w.pool[a.Conn] {
				w.t.Fatal("granted a dead connection, or to one who does not wait for it")
			}
			delete(w.queued, a.Waiter)
			if back != nil {
				delete(w.held, back)
			}
			w.held[a.Conn] = a.Waiter
			w.checkShare(a.Pool, a.Waiter.Identity)
			a.Conn.Loop, a.Conn.Identity = a.Waiter.Loop, a.Waiter.Identity
		case Reject:
			if w.queued[a.Waiter] == nil || a.Err == nil {
				w.t.Fatal("rejected one who does not wait, or without a reason")
			}
			delete(w.queued, a.Waiter)
		case Open:
			w.opening[a.Pool]++
			w.checkCaps(a.Pool)
		case Close:
			if w.pool[a.Conn] == nil || w.held[a.Conn] != nil && a.Conn != back {
				w.t.Fatal("closed a connection that is dead or on loan")
			}
			w.bury(a.Conn)
		}
		if a.Conn == back {
			back = nil
		}
	}
	if back != nil {
		w.held[back] = nil
	}
	if quiet != nil && (!w.isPaused(quiet) || w.alive(func(p *Pool) bool { return p == quiet }) > 0) {
		w.t.Fatal("said to be quiet, but it is not paused or has connections")
	}
	check(w.t, w.core)
}

// checkCaps: after an Open nothing is above its limit.
func (w *world) checkCaps(p *Pool) {
	s := w.set[p]
	if n := w.alive(func(q *Pool) bool { return q == p }); n > s.Size+s.Reserve {
		w.t.Fatalf("%d connections in a pool of %d+%d", n, s.Size, s.Reserve)
	}
	if s.PerTier > 0 {
		inCap := func(q *Pool) bool { return q.Key.Tier == p.Key.Tier && w.set[q].PerTier > 0 }
		if n := w.alive(inCap); n > w.perTier[p.Key.Tier] {
			w.t.Fatalf("%d connections of a tier with %d", n, w.perTier[p.Key.Tier])
		}
	}
	if s.PerDatabase > 0 {
		inCap := func(q *Pool) bool { return q.Key.Database == p.Key.Database && w.set[q].PerDatabase > 0 }
		if n := w.alive(inCap); n > w.limit[perDatabase] {
			w.t.Fatalf("%d connections to a database with %d", n, w.limit[perDatabase])
		}
	}
	if s.Server != "" && s.PerServer > 0 {
		inCap := func(q *Pool) bool { return w.set[q].Server == s.Server && w.set[q].PerServer > 0 }
		if n := w.alive(inCap); n > w.limit[perServer] {
			w.t.Fatalf("%d connections to a server with %d", n, w.limit[perServer])
		}
	}
}

// checkShare: nobody has more on loan than its share.
func (w *world) checkShare(p *Pool, identity string) {
	n := 0
	for c, who := range w.held {
		if who != nil && who.Identity == identity && w.pool[c] == p {
			n++
		}
	}
	if w.share > 0 && n > w.share {
		w.t.Fatalf("%s has %d connections, its share is %d", identity, n, w.share)
	}
}

func (w *world) bury(c *Conn) {
	delete(w.pool, c)
	delete(w.held, c)
	for i, x := range w.order {
		if x == c {
			w.order = append(w.order[:i:i], w.order[i+1:]...)
			return
		}
	}
}

// conns returns the connections that are on loan, or those that are idle.
func (w *world) conns(onLoan bool) (list []*Conn) {
	for _, c := range w.order {
		if (w.held[c] != nil) == onLoan {
			list = append(list, c)
		}
	}
	return list
}

func draw[T any](t *rapid.T, list []T, name string) T {
	if len(list) == 0 {
		t.Skip("no " + name)
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, name)] // by index: a failure would print the elements
}

func (w *world) acquire(t *rapid.T) {
	who, p := draw(t, w.waiters, "waiter"), draw(t, w.pools, "pool")
	if w.queued[who] != nil {
		t.Skip("queued")
	}
	w.queued[who] = p
	who.Paused, w.paused[who], w.asked[who] = 0, 0, max(w.now, w.core.now)
	class := w.bestClass(p, who)
	w.step(Event{Kind: Acquire, Pool: p, Waiter: who}, nil)
	if class >= 0 && w.queued[who] != nil && !who.parked { // check looks whether it had to be
		t.Fatal("nothing was lent although a connection was idle")
	}
}

// bestClass computes the class of the best idle connection in the simplest way and compares the Core's choice with it.
func (w *world) bestClass(p *Pool, who *Waiter) int {
	best := -1
	class := func(c *Conn) int {
		switch own, near, clean := c.Identity == who.Identity, c.Loop == who.Loop, c.Identity == ""; {
		case own && near:
			return 1
		case clean && near:
			return 2
		case own:
			return 3
		case near:
			return 4
		case clean:
			return 5
		default:
			return 6
		}
	}
	for _, c := range w.conns(false) {
		if w.pool[c] == p && !c.expired(max(w.now, w.core.now)) && (best < 0 || class(c) < best) {
			best = class(c)
		}
	}
	chosen := p.best(who)
	if chosen != nil && !chosen.expired(max(w.now, w.core.now)) && class(chosen) != best {
		w.t.Fatalf("chose class %d, best is %d", class(chosen), best)
	}
	return best
}

func (w *world) login(t *rapid.T) {
	p := draw(t, w.pools, "pool")
	if w.opening[p] == 0 {
		t.Skip("no login")
	}
	w.opening[p]--
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		w.step(Event{Kind: OpenFailed, Pool: p, Err: errors.New("down")}, nil)
	case 1:
		w.step(Event{Kind: OpenFailed, Pool: p, Err: errors.New("no"), Definite: true}, nil)
	default:
		c := &Conn{Loop: rapid.IntRange(0, 2).Draw(t, "loop")}
		w.pool[c], w.order = p, append(w.order, c)
		w.step(Event{Kind: Opened, Pool: p, Conn: c}, c)
	}
}

func (w *world) release(t *rapid.T) {
	c := draw(t, w.conns(true), "conn")
	if rapid.Bool().Draw(t, "cleaned") {
		c.Identity = ""
	}
	w.step(Event{Kind: Released, Conn: c}, c)
}

func (w *world) discard(t *rapid.T) {
	c := draw(t, w.conns(true), "conn")
	w.bury(c)
	w.step(Event{Kind: Discarded, Conn: c}, nil)
}

func (w *world) lose(t *rapid.T) {
	c := draw(t, w.order, "conn")
	w.step(Event{Kind: Lost, Conn: c}, nil)
}

func (w *world) cancel(t *rapid.T) {
	who := draw(t, w.waiters, "waiter")
	delete(w.queued, who)
	w.step(Event{Kind: Cancel, Waiter: who}, nil)
}

func (w *world) tick(t *rapid.T) {
	pause := []time.Duration{1, 50 * time.Millisecond, time.Second, 20 * time.Second, 10 * time.Minute, 2 * time.Hour}
	w.now += int64(rapid.SampledFrom(pause).Draw(t, "pause"))
	w.step(Event{Kind: Tick}, nil)
	if at := w.core.Next(); at != 0 && at <= w.now {
		t.Fatalf("the next Tick is due at %d, right after one at %d", at, w.now)
	}
}

// resize is a reload: all pools get new settings, one after the other.
func (w *world) resize(t *rapid.T) {
	caps := drawCaps(t)
	for _, p := range w.pools {
		s := drawSettings(t).capped(caps)
		s.PerIdentity = w.share
		w.configured(p, s)
		w.step(Event{Kind: Resize, Pool: p, Settings: s}, nil)
	}
}

func (w *world) isPaused(p *Pool) bool { _, is := w.pausedAt[p]; return is }

// pause pauses a pool, again at times: it must be quiet when nothing of it is alive but what was idle.
func (w *world) pause(t *rapid.T) {
	p := draw(t, w.pools, "pool")
	if !w.isPaused(p) {
		w.pausedAt[p] = max(w.now, w.core.now)
	}
	busy := w.opening[p]
	for _, c := range w.conns(true) {
		if w.pool[c] == p {
			busy++
		}
	}
	if told := w.stepTold(Event{Kind: Pause, Pool: p}); told != (busy == 0) {
		t.Fatalf("%d connections in use, quiet: %v", busy, told)
	}
}

// stepTold is step for an event after which a pool may be quiet; it tells whether it is.
func (w *world) stepTold(ev Event) bool {
	before := w.told
	w.step(ev, nil)
	return w.told != before
}

func (w *world) resume(t *rapid.T) {
	p := draw(t, w.pools, "pool")
	now := max(w.now, w.core.now)
	if at, is := w.pausedAt[p]; is {
		for who, q := range w.queued {
			if q == p {
				w.paused[who] += now - max(at, w.asked[who])
			}
		}
	}
	delete(w.pausedAt, p)
	w.step(Event{Kind: Resume, Pool: p}, nil)
	for who, q := range w.queued {
		if got := int64(who.pausedFor(now)); q == p && got != w.paused[who] {
			t.Fatalf("paused for %d, want %d", got, w.paused[who])
		}
	}
}

// TestProperties: random events, everything in check_test.go after each, and nothing left at the end.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"acquire": w.acquire, "acquire again": w.acquire, "login": w.login, "login again": w.login, "release": w.release,
			"discard": w.discard, "lose": w.lose, "cancel": w.cancel, "tick": w.tick, "resize": w.resize,
			"pause": w.pause, "resume": w.resume,
		})
		w.finish()
	})
}

// finish drains and gives everything back: all counts must be zero then.
func (w *world) finish() {
	w.step(Event{Kind: Drain}, nil)
	for _, p := range w.pools {
		for ; w.opening[p] > 0; w.opening[p]-- {
			w.core.Step(w.now, Event{Kind: OpenFailed, Pool: p, Err: errors.New("down")}, nil)
		}
	}
	for _, c := range w.conns(true) {
		w.step(Event{Kind: Released, Conn: c}, c)
	}
	if len(w.order) > 0 || len(w.queued) > 0 {
		w.t.Fatalf("%d connections, %d waiters are left", len(w.order), len(w.queued))
	}
	for _, p := range w.pools {
		if p.total() != 0 || p.waiting.len != 0 {
			w.t.Fatalf("%v: counts %d, %d", p.Key, p.total(), p.waiting.len)
		}
	}
}
