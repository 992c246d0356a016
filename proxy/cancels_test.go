package proxy

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestWrongKeys(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	w := newWrongKeys(zap.New(core))
	now := time.Unix(1_000_000, 0)
	guesser, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:0:1::1")
	listened := 0
	for range 10 * cancelBurst {
		if w.allows(now, guesser) {
			listened++
			w.wrong(now, guesser)
		}
	}
	if listened != cancelBurst {
		t.Errorf("listened to %d, want %d", listened, cancelBurst)
	}
	if w.allows(now, netip.MustParseAddr("2001:db8::2")) {
		t.Error("another address of the same network is listened to")
	}
	if !w.allows(now, other) || !w.allows(now, netip.Addr{}) {
		t.Error("somebody else is not listened to")
	}
	if logs.Len() != 1 {
		t.Errorf("%d log lines, want 1", logs.Len())
	}
	now = now.Add(3 * cancelRefill)
	for n := range 4 {
		if got := w.allows(now, guesser); got != (n < 3) {
			t.Errorf("after three refills, request %d: %v", n, got)
		}
		w.wrong(now, guesser)
	}
	if !w.allows(now.Add(time.Hour), guesser) {
		t.Error("never forgotten")
	}
}

// TestWrongKeysOfMany: the memory is bounded, whoever comes is limited all the same, and forgotten in time.
func TestWrongKeysOfMany(t *testing.T) {
	w := newWrongKeys(zap.NewNop())
	now := time.Unix(1_000_000, 0)
	listened := 0
	for n := range 3 * maxCancelAddresses {
		addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		if w.allows(now, addr) {
			listened++
			w.wrong(now, addr)
		}
	}
	if listened != maxCancelAddresses+cancelBurst {
		t.Errorf("listened to %d", listened)
	}
	if len(w.until) > maxCancelAddresses+1 {
		t.Errorf("%d addresses are remembered", len(w.until))
	}
	now = now.Add(time.Minute)
	w.wrong(now, netip.MustParseAddr("192.0.2.1"))
	if len(w.until) != 1 {
		t.Errorf("%d addresses are remembered a minute later", len(w.until))
	}
}
