package session

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLabel(t *testing.T) {
	for _, tt := range []struct{ identity, tier, own, want string }{
		{"alice", "rw", "", "alice/rw"},
		{"alice", "rw", "psql", "alice/rw: psql"},
		{"alice", "rw", "bob/ro: psql", "alice/rw: bob/ro: psql"},
		{"alice/ro: x", "rw", "psql", "alice/ro? x/rw: psql"},
		{"alice:", "rw", "psql", "alice:/rw: psql"},
		{"a\nb", "ro", "", `a\x0ab/ro`},
		{"ürsel", "ro", "psql", `\xc3\xbcrsel/ro: psql`},
		{"\xff", "ro", "", `\xff/ro`},
		{strings.Repeat("a", 63), "admin", "psql", strings.Repeat("a", 57) + "/admin"},
		{strings.Repeat("a", 54) + "€", "ro", "psql", strings.Repeat("a", 54) + "/ro: psql"},
		{strings.Repeat("a", 58), "ro", "psql", strings.Repeat("a", 58) + "/ro"},
		{strings.Repeat("a", 57), "ro", "psql", strings.Repeat("a", 57) + "/ro: p"},
		{"alice", "rw", strings.Repeat("n", 63), "alice/rw: " + strings.Repeat("n", 53)},
		{"alice", "rw", strings.Repeat("n", 52) + "é", "alice/rw: " + strings.Repeat("n", 52)},
	} {
		if got := label(tt.identity, tt.tier, tt.own); got != tt.want {
			t.Errorf("label(%q, %q, %q) = %q, want %q", tt.identity, tt.tier, tt.own, got, tt.want)
		}
	}
}

// TestLabelCannotBeFaked: whatever a client calls itself, the label up to the first ": " is what pgtier has put there.
func TestLabelCannotBeFaked(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		identity := rapid.StringN(1, 40, 63).Draw(rt, "identity")
		tier := rapid.SampledFrom([]string{"ro", "rw", "admin"}).Draw(rt, "tier")
		own := rapid.StringN(0, 63, 63).Draw(rt, "own")
		got := label(identity, tier, own)
		who, _, _ := strings.Cut(got, ": ")
		if bare := label(identity, tier, ""); who != bare || !strings.HasSuffix(who, "/"+tier) {
			rt.Fatalf("label(%q, %q, %q) = %q", identity, tier, own, got)
		}
		if len(got) > maxLabel || !utf8.ValidString(got) {
			rt.Fatalf("label(%q, %q, %q) = %q, %d bytes", identity, tier, own, got, len(got))
		}
	})
}

func TestAppendBytes(t *testing.T) {
	const value = "o'bri\\en ü\n"
	if got := string(appendBytes(nil, value)); got != `E'o\x27bri\x5cen \xc3\xbc\x0a'` {
		t.Error(got)
	}
}
