package doctor

import (
	"strings"
	"testing"
)

// The demo's database is as it should be; what is left are notes about what no grant can take from a reader.
func TestEPMTIsGreen(t *testing.T) {
	c := newClinic(t)
	findings := c.examine()
	c.wantOnly(findings)
	if findings.Bad() {
		t.Error("notes count as bad")
	}
	out := text(findings)
	for _, want := range []string{"note    EPMT/ro ro-still-can: a reader may call lo_create,", "pg_advisory_lock", "pg_notify", "NOTIFY",
		"\n0 errors, 0 warnings, "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	t.Log("\n" + out)
}
