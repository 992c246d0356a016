package wall

import "testing"

// TestPoisonedTimeout: alice leaves her server connection about to end by itself; bob does not notice.
func TestPoisonedTimeout(t *testing.T) {
	b := newLab(t)
	for _, l := range levels {
		for range 30 {
			alice := b.mustConnect(l, "alice")
			alice.query("SET idle_session_timeout = 1")
			alice.close()
			bob := b.mustConnect(l, "bob")
			if got := bob.value("SELECT current_user"); got != "bob" {
				t.Errorf("%s: bob is %q: %q", l.name, got, bob.lines)
			}
			bob.close()
		}
	}
}
