package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// attempt makes one attempt that waits as told, and returns how long that was and when it was over.
func attempt(t testing.TB, th *Throttle, now time.Time, name, from string, right bool) (time.Duration, time.Time) {
	t.Helper()
	a, wait, ok := th.Admit(now, name, netip.MustParseAddr(from))
	if !ok {
		t.Fatalf("%s from %s was refused", name, from)
	}
	now = now.Add(wait)
	if right {
		a.Succeeded(now)
	} else {
		a.Failed(now)
	}
	return wait, now
}

func TestThrottlePausesDouble(t *testing.T) {
	th, now := NewThrottle(), start
	want := []time.Duration{0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000}
	for i, ms := range want {
		var wait time.Duration
		if wait, now = attempt(t, th, now, "alice", "192.0.2.1", false); wait != ms*time.Millisecond {
			t.Errorf("attempt %d waited %v, want %v", i+1, wait, ms*time.Millisecond)
		}
	}
	if wait, _ := attempt(t, th, now.Add(5*time.Minute), "alice", "192.0.2.1", false); wait != 0 {
		t.Errorf("nothing was forgotten: %v", wait)
	}
}

func TestThrottleIsClearedBySuccess(t *testing.T) {
	th, now := NewThrottle(), start
	for range 10 {
		_, now = attempt(t, th, now, "alice", "192.0.2.1", false)
	}
	_, now = attempt(t, th, now, "alice", "192.0.2.1", true)
	if wait, _ := attempt(t, th, now, "alice", "192.0.2.1", true); wait != 0 {
		t.Errorf("waited %v after a success", wait)
	}
}

// TestThrottleFlood: guesses at alice from one place, as fast as they are let.
func TestThrottleFlood(t *testing.T) {
	th, now := NewThrottle(), start
	_, now = attempt(t, th, now, "alice", "192.0.2.7", true)
	checked := 0
	for i := range 100_000 {
		at := now.Add(time.Duration(i) * time.Millisecond)
		a, wait, ok := th.Admit(at, "alice", netip.MustParseAddr("203.0.113.9"))
		if ok {
			checked++
			a.Failed(at.Add(wait))
		}
	}
	if checked > 60 {
		t.Errorf("%d guesses were checked in 100 s", checked)
	}
	now = now.Add(100 * time.Second)
	if wait, _ := attempt(t, th, now, "alice", "192.0.2.7", true); wait != 0 {
		t.Errorf("alice waits %v where she always comes from", wait)
	}
	if wait, _ := attempt(t, th, now, "alice", "192.0.2.8", true); wait > time.Second {
		t.Errorf("alice waits %v from a new address", wait)
	}
	if wait, _ := attempt(t, th, now, "bob", "192.0.2.8", true); wait != 0 {
		t.Errorf("bob waits %v", wait)
	}
}

// TestThrottleFloodFromEverywhere: many addresses guess one name; its owner still gets in from a new one.
func TestThrottleFloodFromEverywhere(t *testing.T) {
	th := NewThrottle()
	for i := range 20_000 {
		from := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		if a, _, ok := th.Admit(start, "alice", from); ok {
			a.Failed(start)
		}
	}
	if wait, _ := attempt(t, th, start, "alice", "192.0.2.8", true); wait > time.Second {
		t.Errorf("alice waits %v", wait)
	}
}

func TestThrottleParallelGuessesQueue(t *testing.T) {
	th := NewThrottle()
	for range 5 {
		attempt(t, th, start, "alice", "192.0.2.1", false)
	}
	var waits []time.Duration
	for {
		_, wait, ok := th.Admit(start, "alice", netip.MustParseAddr("192.0.2.1"))
		if !ok {
			break
		}
		if len(waits) > 0 && wait <= waits[len(waits)-1] {
			t.Fatalf("%v after %v: two guesses at once", wait, waits)
		}
		waits = append(waits, wait)
	}
	if len(waits) == 0 || len(waits) > 51 {
		t.Errorf("%d guesses wait", len(waits))
	}
}

func TestThrottleAddresses(t *testing.T) {
	for a, b := range map[string]string{
		"2001:db8::1":      "2001:db8::ffff:ffff:ffff:ffff",
		"::ffff:192.0.2.1": "192.0.2.1",
		"fe80::1%eth0":     "fe80::2%eth1",
	} {
		if network(netip.MustParseAddr(a)) != network(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s are not one place", a, b)
		}
	}
	if network(netip.MustParseAddr("2001:db8::1")) == network(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two networks are one place")
	}
	if network(netip.Addr{}).IsValid() {
		t.Error("a Unix socket has an address")
	}
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	th := NewThrottle()
	for i := range 3 * counterEntries {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		name := fmt.Sprint("name", i)
		if a, _, ok := th.Admit(start, name, from); ok {
			a.Failed(start)
		}
		if a, _, ok := th.Admit(start, name, from); ok {
			a.Succeeded(start)
		}
	}
	for _, c := range []*counters{&th.pairs, &th.addresses, &th.names, &th.trusted} {
		if len(c.entries) > counterEntries || c.order.Len() != len(c.entries) {
			t.Errorf("%d entries, %d in order", len(c.entries), c.order.Len())
		}
	}
}

func TestThrottleWaitingIsBounded(t *testing.T) {
	th := NewThrottle()
	var waiting []Attempt
	for i := range 2 * maxWaiting {
		from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		for range 5 {
			if a, _, ok := th.Admit(start, fmt.Sprint(i), from); ok {
				a.Failed(start)
			}
		}
		if a, wait, ok := th.Admit(start, fmt.Sprint(i), from); ok && wait > 0 {
			waiting = append(waiting, a)
		}
	}
	if len(waiting) != maxWaiting {
		t.Errorf("%d wait at once", len(waiting))
	}
	for _, a := range waiting {
		a.Abandoned()
	}
	if th.waiting != 0 {
		t.Errorf("%d left waiting", th.waiting)
	}
}

// TestThrottleProperties: whatever happens, nobody waits longer than the longest pause, and the count of those who wait is right.
func TestThrottleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th, now := NewThrottle(), start
		var open []Attempt
		waiting := 0
		finish := func(how string) {
			if len(open) == 0 {
				return
			}
			a := open[0]
			open = open[1:]
			if a.waiting {
				waiting--
			}
			switch how {
			case "failed":
				a.Failed(now)
			case "succeeded":
				a.Succeeded(now)
			default:
				a.Abandoned()
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch step := rapid.SampledFrom([]string{"admit", "admit", "failed", "failed", "succeeded", "abandoned", "time"}).Draw(t, "step"); step {
			case "admit":
				from := netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteMax(3).Draw(t, "address")})
				a, wait, ok := th.Admit(now, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), from)
				if wait < 0 || wait > maxPause {
					t.Fatalf("wait %v", wait)
				}
				if ok {
					open = append(open, a)
				}
				if wait > 0 {
					waiting++
				}
			case "time":
				now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
			default:
				finish(step)
			}
			if th.waiting != waiting {
				t.Fatalf("%d wait, want %d", th.waiting, waiting)
			}
		}
	})
}
