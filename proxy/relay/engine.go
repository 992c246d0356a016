package relay

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// engine is how a loop waits for its sockets, and how it may send for many of them with one system call. All of it is called
// on the loop's thread, but for open, wake and close.
//
//	          waits with                    sends
//	epoll     epoll_wait                    each socket with a call of its own, at once
//	io_uring  io_uring_enter                what a round has to say to all sockets, with the call that waits for the next one
type engine interface {
	// open makes the engine. It is called before the loop's thread exists.
	open() error
	// start is called once, first on the loop's thread.
	start() error
	// close gives everything back; the loop has ended.
	close()
	// add watches fd for reading, writing and its end, edge triggered. generation comes back with its events: the number of
	// a closed descriptor is used again, and an event of the old socket may still be in the batch.
	add(fd int, generation uint32) error
	// remove ends that, before fd is closed or another loop has it.
	remove(fd int, generation uint32)
	// wait sends what has been posted, then returns what has happened. It waits no longer than max; 0 does not wait. The
	// slice is valid until the next wait.
	wait(max time.Duration) []event
	// wake interrupts wait. Safe for concurrent use.
	wake()
	// woken is called when the event of wakeFD is here.
	woken()
	wakeFD() int
	// post takes b to be sent to s at the end of the round, and reports whether it has. b is copied. What the socket did
	// not take it is given back by s.sent.
	post(s *socket, b []byte) bool
	// flush sends what has been posted now.
	flush()
}

// event says what has happened to a descriptor.
type event struct {
	fd         int
	generation uint32
	mask       uint32 // ev bits
}

// The bits of an event are the same for epoll and for poll.
const (
	evRead  = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	evHup   = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	evWrite = unix.EPOLLOUT
	evAll   = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP
)

// shortWait is how long the loop holds its processor while nothing happens. A wait through the scheduler costs 14 to 18
// microseconds a transaction under load (measured); an unbounded raw one would hold up the garbage collector.
const shortWait = 4 * time.Millisecond

// The engines' names, as in the configuration.
const (
	EngineAuto  = "auto" // io_uring where the kernel has what it takes and allows it, else epoll
	EngineEpoll = "epoll"
	EngineURing = "io_uring"
)

// newEngine makes an engine that chooseEngine has named.
func newEngine(name string) engine {
	if name == EngineURing {
		return new(uringEngine)
	}
	return new(epollEngine)
}

// chooseEngine turns "auto" into the name of the engine that this machine gets, so that all loops have the same.
func chooseEngine(name string) (string, error) {
	if name != EngineURing && name != EngineAuto && name != "" {
		return EngineEpoll, nil
	}
	err := tryURing()
	if err == nil {
		return EngineURing, nil
	}
	if name == EngineURing {
		return "", fmt.Errorf("this kernel does not offer io_uring as it is needed (Linux 6.1 or later, not forbidden): %w", err)
	}
	return EngineEpoll, nil
}

// tryURing goes through everything that a kernel, or what guards it in a container, could refuse.
func tryURing() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := new(uringEngine)
	if err := e.open(); err != nil {
		return err
	}
	defer e.close()
	if err := e.start(); err != nil {
		return err
	}
	if errno := e.ring.enter(0, 0, true); errno != 0 {
		return os.NewSyscallError("io_uring_enter", errno)
	}
	return nil
}
