package relay

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is one epoll instance with an eventfd that wakes it. Sockets are registered once, edge triggered, for both
// directions: there is no epoll_ctl on the hot path.
type poller struct {
	ep, wakeFD int
	events     [256]unix.EpollEvent
}

const (
	evRead  = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	evHup   = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	evWrite = unix.EPOLLOUT
	evAll   = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff
)

func (p *poller) open() error {
	var err error
	if p.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(p.ep)
		return os.NewSyscallError("eventfd", err)
	}
	return p.add(p.wakeFD, 0)
}

func (p *poller) close() {
	_ = unix.Close(p.ep)
	_ = unix.Close(p.wakeFD)
}

// add registers fd. generation comes back with its events: the number of a closed descriptor is used again, and an event
// of the old socket may still be in the batch.
func (p *poller) add(fd int, generation uint32) error {
	ev := unix.EpollEvent{Events: evAll, Fd: int32(fd), Pad: int32(generation)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, fd, &ev))
}

func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.ep, unix.EPOLL_CTL_DEL, fd, nil) }

// wake interrupts wait. Safe for concurrent use.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakeFD, one[:])
}

// shortWait is how long the loop holds its processor while nothing happens. A wait through the scheduler costs 14 to 18
// microseconds a transaction under load (measured); an unbounded raw one would hold up the garbage collector.
const shortWait = 4 * time.Millisecond

// wait returns the events that are ready. It waits no longer than max; 0 does not wait.
func (p *poller) wait(max time.Duration) []unix.EpollEvent {
	n, errno := p.rawWait(min(max, shortWait))
	if n == 0 && errno == 0 && max > shortWait {
		// Rounded up, so that a timer that is due in half a millisecond is not polled for.
		ms := int((max - shortWait + time.Millisecond - 1) / time.Millisecond)
		var err error
		if n, err = unix.EpollWait(p.ep, p.events[:], ms); err != nil {
			n = 0
		}
	}
	if errno == unix.EINTR {
		runtime.Gosched() // the signal was the scheduler's: somebody wants this thread to stop
	}
	return p.events[:max0(n)]
}

func (p *poller) rawWait(d time.Duration) (int, syscall.Errno) {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.ep), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func max0(n int) int { return max(n, 0) }
