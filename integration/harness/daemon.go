package harness

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// Daemon is `pgtier serve` as a process of its own.
type Daemon struct {
	*Endpoint

	t     testing.TB
	setup *setup
	cmd   *exec.Cmd
	out   lockedBuffer
	done  chan struct{} // closed when cmd has ended
}

// Spawn builds the program, once for a test binary, and runs `pgtier serve` until the end of the test.
func Spawn(t testing.TB, o Options) *Daemon {
	t.Helper()
	s := newSetup(t, o)
	d := &Daemon{Endpoint: s.endpoint, t: t, setup: s}
	d.start()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // fails only when it has ended
		<-d.done
		if t.Failed() {
			t.Logf("pgtier's log:\n%s", d.Log())
		}
	})
	return d
}

// Restart runs the program again, with the same configuration, after it has ended.
func (d *Daemon) Restart() {
	d.t.Helper()
	<-d.done
	d.start()
}

// start returns when it listens.
func (d *Daemon) start() {
	d.t.Helper()
	cmd, done := Command(d.t, d.setup.env, "serve", "--config", d.setup.file), make(chan struct{})
	cmd.Stderr = &d.out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		defer close(done)
		_ = cmd.Wait() // its exit code is asked for
	}()
	d.cmd, d.done = cmd, done
	Eventually(d.t, "pgtier serve listens", func() bool {
		select {
		case <-done:
			d.t.Fatalf("pgtier serve has ended: %v\n%s", cmd.ProcessState, d.Log())
		default:
		}
		return listens("tcp", d.Addr()) && listens("unix", d.SocketAddr())
	})
}

func listens(network, addr string) bool {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Signal sends it a signal.
func (d *Daemon) Signal(sig syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
}

// ExitCode waits for its end.
func (d *Daemon) ExitCode() int {
	d.t.Helper()
	select {
	case <-d.done:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		d.t.Fatal("pgtier serve does not end")
		return 0
	}
}

// Pid is its process id.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Log is what it has written to standard error.
func (d *Daemon) Log() string { return d.out.String() }

// Command prepares a run of the program with env as its whole environment.
func Command(t testing.TB, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

var built struct {
	dir string
}

// program builds cmd/pgtier.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pgtier-bin-")
	if err != nil {
		return "", err
	}
	built.dir = dir
	path := filepath.Join(dir, "pgtier")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/pgtier/pgtier/cmd/pgtier")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// Main is a TestMain: it runs the tests, closes the cluster that they shared, removes what Spawn has built, and exits.
func Main(m *testing.M) {
	code := testpg.Main(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// lockedBuffer is written by os/exec's goroutine and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Again runs the program with the same configuration while it runs, which it must refuse, and returns what it says and its
// exit code.
func (d *Daemon) Again() (output string, code int) {
	d.t.Helper()
	return failing(d.t, d.setup)
}

// Refused runs `pgtier serve` with a configuration that it must refuse, and returns what it says and its exit code.
func Refused(t testing.TB, o Options) (output string, code int) {
	t.Helper()
	return failing(t, newSetup(t, o))
}

func failing(t testing.TB, s *setup) (output string, code int) {
	t.Helper()
	cmd := Command(t, s.env, "serve", "--config", s.file)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
