package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgtier/pgtier/integration/pgtest"
)

// holding is what pgtier holds while no client is there.
type holding struct {
	clients int   // sockets that are not those of servers and listeners
	servers int   // server connections
	rss     int64 // bytes
}

// measure waits until pgtier has noticed that its clients are gone, and looks at what it holds.
func (l *lab) measure(ctx context.Context) (holding, error) {
	var h holding
	err := l.eventually(ctx, "pgtier closes the sockets of clients that are gone", func() (bool, error) {
		var err error
		if h, err = l.hold(ctx); err != nil {
			return false, err
		}
		return h.clients <= 0, nil
	})
	if err != nil {
		err = fmt.Errorf("%w (%d are open)", err, h.clients)
	}
	return h, err
}

// idleSockets are the sockets of a pgtier without clients and servers: one listener.
const idleSockets = 1

func (l *lab) hold(ctx context.Context) (h holding, err error) {
	pid := l.cmd.Process.Pid
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return h, fmt.Errorf("pgtier is gone: %w", err)
	}
	for _, e := range entries {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") { // else it has been closed since
			h.clients++
		}
	}
	text, err := l.cluster.QueryText(ctx, pgtest.Superuser,
		"SELECT count(*) FROM pg_stat_activity WHERE usename IN ('epmt-rw', 'epmt-admin')")
	if err != nil {
		return h, err
	}
	if h.servers, err = strconv.Atoi(text); err != nil {
		return h, err
	}
	h.clients -= h.servers + idleSockets
	h.rss, err = rss(pid)
	return h, err
}

func rss(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// quit ends pgtier in the way that makes Go print all goroutines, counts them, and returns the log before that.
func (l *lab) quit() (goroutines int, log string, err error) {
	if err := l.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return 0, "", err
	}
	_ = l.cmd.Wait() // it ends with an exit code of Go's choice
	content, err := os.ReadFile(l.logFile)
	if err != nil {
		return 0, "", err
	}
	before, dump, ok := bytes.Cut(content, []byte("SIGQUIT: quit"))
	if !ok {
		return 0, string(content), fmt.Errorf("pgtier printed no goroutines at SIGQUIT")
	}
	return bytes.Count(dump, []byte("\ngoroutine ")), string(before), nil
}
