package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// hideInput switches the echo of a terminal off until restore is called, or until a signal ends the process: a shell whose
// letters are invisible is a bad thing to leave behind.
func hideInput(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	hidden := *before
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	var once sync.Once
	reset := func() { once.Do(func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }) }
	go func() {
		select {
		case s := <-signals:
			reset()
			signal.Reset(s)
			_ = syscall.Kill(syscall.Getpid(), s.(syscall.Signal)) // die of it, as without us
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		reset()
	}, nil
}
