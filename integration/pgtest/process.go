package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one run of the postmaster.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
}

// StartServer starts the server after Stop or Kill, and returns when it accepts connections. It does nothing when the
// server runs.
func (c *Cluster) StartServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil {
		return nil
	}
	p, err := c.spawn()
	if err != nil {
		return err
	}
	if err := c.waitReady(ctx, p); err != nil {
		p.end(syscall.SIGQUIT)
		return fmt.Errorf("starting PostgreSQL %s: %w\n%s", c.Binaries.Version, err, lastLines(c.Log(), 20))
	}
	c.proc = p
	return nil
}

// Stop stops the server as `pg_ctl stop -m fast` does: sessions are ended with 57P01, the data is written. When the
// context ends first the server is stopped at once. It does nothing when the server is stopped.
func (c *Cluster) Stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil {
		return nil
	}
	p := c.proc
	c.proc = nil
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.end(syscall.SIGQUIT)
		return ctx.Err()
	}
}

// Kill stops the server as `pg_ctl stop -m immediate` does: every process ends without a shutdown, as in a crash, and
// the next start recovers. It does nothing when the server is stopped.
func (c *Cluster) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc != nil {
		c.proc.end(syscall.SIGQUIT)
		c.proc = nil
	}
}

// Restart is Stop and StartServer. The port stays the same.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	return c.StartServer(ctx)
}

// Pid is the process id of the postmaster, 0 while the server is stopped.
func (c *Cluster) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil {
		return 0
	}
	return c.proc.cmd.Process.Pid
}

func (c *Cluster) spawn() (*process, error) {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the server has its own descriptor
	cmd := exec.Command(filepath.Join(c.Binaries.Dir, "postgres"),
		"-D", c.dataDir(), "-c", "config_file="+filepath.Join(c.confDir(), "postgresql.conf"))
	c.AsServer(cmd)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// end sends a signal and waits; a server that does not obey within ten seconds is killed.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // fails only when the process has ended
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// waitReady waits until postmaster.pid says "ready", which is how pg_ctl waits (pg_ctl.c, wait_for_postmaster_start).
// There is no event to wait for that every build of PostgreSQL offers.
func (c *Cluster) waitReady(ctx context.Context, p *process) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return errors.New("the server ended: " + p.cmd.ProcessState.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if c.isReady(p.cmd.Process.Pid) {
				return nil
			}
		}
	}
}

// isReady reads postmaster.pid: its first line is the process id, its eighth the status (pidfile.h, since PostgreSQL 10).
func (c *Cluster) isReady(pid int) bool {
	content, err := os.ReadFile(filepath.Join(c.dataDir(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := bytes.Split(content, []byte("\n"))
	return len(lines) > 7 && string(lines[0]) == strconv.Itoa(pid) && string(bytes.TrimSpace(lines[7])) == "ready"
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
