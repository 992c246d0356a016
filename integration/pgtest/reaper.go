package pgtest

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// reaper is a shell that waits for the end of its owner: when the pipe to it closes, whether by release or because the
// owner died in whatever way, it stops the server and removes the directory.
//
// PR_SET_PDEATHSIG would not do: it is bound to the thread that started the child, not to the process, and a goroutine
// that ends while locked to its thread (an event loop of the relay in `pgtier demo`) would take the server with it. It
// also removes no directories.
type reaper struct {
	cmd  *exec.Cmd
	pipe io.Closer
	once sync.Once
	err  error
}

// reaperScript takes the data directory, and the directory to remove or "". The process id in postmaster.pid is trusted
// only when that process works in the data directory, as every postmaster does: ids are reused, and the file belongs to
// a less privileged account when we are root.
const reaperScript = `
read -r _
pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
case $pid in
'' | *[!0-9]*) ;;
*)
	if [ "$(readlink "/proc/$pid/cwd")" = "$1" ]; then
		kill -QUIT "$pid"
		n=0
		while [ $n -lt 100 ] && kill -0 "$pid" 2>/dev/null; do
			sleep 0.05
			n=$((n + 1))
		done
	fi
	;;
esac
if [ -n "$2" ]; then
	rm -rf -- "$2"
fi
`

func startReaper(dataDir, dir string, keep bool) (*reaper, error) {
	if keep {
		dir = ""
	}
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "pgtier-reaper", dataDir, dir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of the terminal's Ctrl-C and hang-up
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the watcher that cleans up: %w", err)
	}
	return &reaper{cmd: cmd, pipe: pipe}, nil
}

// release lets the reaper do its work and waits for it.
func (r *reaper) release() error {
	r.once.Do(func() {
		if err := r.pipe.Close(); err != nil {
			r.err = err
		}
		if err := r.cmd.Wait(); err != nil {
			r.err = fmt.Errorf("cleaning up: %w", err)
		}
	})
	return r.err
}
