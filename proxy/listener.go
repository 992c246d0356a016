package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgtier/pgtier/config"
)

// keepAlive finds clients whose machine has vanished: after 60 s of silence, six probes 10 s apart.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 10 * time.Second, Count: 6}

// listen opens all listeners, or none.
func listen(cfg config.Listen) ([]net.Listener, error) {
	var open []net.Listener
	fail := func(err error) ([]net.Listener, error) {
		for _, l := range open {
			_ = l.Close()
		}
		return nil, err
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	port := "6432"
	for i, address := range cfg.Address {
		l, err := lc.Listen(context.Background(), "tcp", address)
		if err != nil {
			return fail(fmt.Errorf("listen on %s: %w", address, plain(err)))
		}
		open = append(open, l)
		if i == 0 {
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
	}
	if cfg.UnixSocketDir != "" {
		l, err := listenUnix(filepath.Join(cfg.UnixSocketDir, ".s.PGSQL."+port))
		if err != nil {
			return fail(err)
		}
		open = append(open, l)
	}
	return open, nil
}

// listenUnix takes over a socket file that nobody listens on any more: the last process was killed.
func listenUnix(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, dialErr := net.DialTimeout("unix", path, time.Second); dialErr == nil {
			_ = c.Close()
			return nil, fmt.Errorf("listen on %s: another process listens on it", path)
		}
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Type() == fs.ModeSocket {
			_ = os.Remove(path)
			l, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, plain(err))
	}
	// Everybody on the machine may connect; who they are is decided at login.
	if err := os.Chmod(path, 0o777); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// plain takes the words about the call out of a network error.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

func addresses(addrs []net.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
