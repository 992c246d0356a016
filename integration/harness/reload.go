package harness

import (
	"os"
	"strings"
	"syscall"
)

// Write writes another configuration, which the daemon does not know of yet. Without a Cluster it is the same one. The
// accounts' passwords stay those that the daemon was started with: they are in its environment.
func (d *Daemon) Write(o Options) {
	d.t.Helper()
	o.Address = d.Host
	if o.Cluster == nil {
		o.Cluster = d.Cluster
	}
	if o.EPMT == nil {
		o.EPMT = d.EPMT
	}
	o.fill(d.t)
	if err := os.WriteFile(d.setup.file, []byte(d.setup.write(o)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// Reload is Write and SIGHUP. It returns when the daemon has said what it made of it: ok is false when it refused.
func (d *Daemon) Reload(o Options) (ok bool) {
	d.t.Helper()
	d.Write(o)
	const took, refused = `"msg":"reloaded"`, `"msg":"reload refused`
	count := func(what string) int { return strings.Count(d.Log(), what) }
	before, no := count(took), count(refused)
	d.Signal(syscall.SIGHUP)
	Eventually(d.t, "the daemon has reloaded", func() bool { return count(took) > before || count(refused) > no })
	return count(took) > before
}
