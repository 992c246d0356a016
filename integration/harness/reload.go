package harness

import (
	"os"
	"strings"
	"syscall"
)

// Reload writes another configuration and sends SIGHUP. It returns when the daemon has said what it made of it: ok is false
// when it refused.
func (d *Daemon) Reload(o Options) (ok bool) {
	d.t.Helper()
	o.Cluster, o.EPMT, o.Address = d.Cluster, d.EPMT, d.Host
	o.fill(d.t)
	if err := os.WriteFile(d.setup.file, []byte(d.setup.write(o)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	const took, refused = `"msg":"reloaded"`, `"msg":"reload refused`
	count := func(what string) int { return strings.Count(d.Log(), what) }
	before, no := count(took), count(refused)
	d.Signal(syscall.SIGHUP)
	Eventually(d.t, "the daemon has reloaded", func() bool { return count(took) > before || count(refused) > no })
	return count(took) > before
}
