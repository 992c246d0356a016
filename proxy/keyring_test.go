package proxy

import (
	"testing"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/pool"
)

func TestKeyring(t *testing.T) {
	alice := pool.Key{Database: "EPMT", Tier: "rw", Role: "staff", Identity: "alice"}
	bob := alice
	bob.Identity = "bob" // the same role, filled in for somebody else
	old, again, changed := &scram.ClientKey{1}, &scram.ClientKey{1}, &scram.ClientKey{2}
	stored, storedChanged := old.Stored(), changed.Stored()
	r := newKeyring()
	expect := func(of pool.Key, sessions int, keys ...scram.ClientKey) {
		t.Helper()
		have, n := r.copies(of)
		if n != sessions || len(have) != len(keys) {
			t.Fatalf("%d sessions with %d keys, want %d with %d", n, len(have), sessions, len(keys))
		}
		for i, k := range have {
			if *k != keys[i] {
				t.Errorf("key %d is another one", i)
			}
			k.Wipe() // a copy: the keyring's own stays
		}
	}
	expect(alice, 0)
	if !r.enter(alice, old) || r.enter(alice, again) || !r.enter(alice, changed) || r.enter(alice, nil) {
		t.Error("a key is new when nobody has brought it")
	}
	if *again != (scram.ClientKey{}) {
		t.Error("the second copy of a key is kept")
	}
	expect(alice, 4, scram.ClientKey{2}, scram.ClientKey{1})
	expect(bob, 0)
	r.leave(alice, &stored)
	expect(alice, 3, scram.ClientKey{2}, scram.ClientKey{1})
	r.leave(alice, &stored)
	expect(alice, 2, scram.ClientKey{2})
	if *old != (scram.ClientKey{}) {
		t.Error("a key is there whose sessions have gone")
	}
	r.leave(alice, nil)
	r.leave(alice, &storedChanged)
	expect(alice, 0)
	if *changed != (scram.ClientKey{}) || len(r.held) != 0 {
		t.Error("something is left of people who have gone")
	}
	if !r.enter(alice, &scram.ClientKey{1}) {
		t.Error("a wiped key is new when it comes again")
	}
}
