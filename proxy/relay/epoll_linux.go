package relay

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollEngine is one epoll instance with an eventfd that wakes it. Sockets are registered once, edge triggered, for both
// directions: there is no epoll_ctl on the hot path.
type epollEngine struct {
	ep    int
	bell  bell
	ready [256]unix.EpollEvent
	out   [256]event
}

func (p *epollEngine) open() error {
	var err error
	if p.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := p.bell.open(); err != nil {
		_ = unix.Close(p.ep)
		return err
	}
	return nil
}

func (p *epollEngine) start() error { return p.add(p.bell.fd, 0) }

func (p *epollEngine) close() {
	_ = unix.Close(p.ep)
	p.bell.close()
}

func (p *epollEngine) add(fd int, generation uint32) error {
	ev := unix.EpollEvent{Events: evAll | unix.EPOLLET&0xffffffff, Fd: int32(fd), Pad: int32(generation)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, fd, &ev))
}

func (p *epollEngine) remove(fd int, _ uint32) { _ = unix.EpollCtl(p.ep, unix.EPOLL_CTL_DEL, fd, nil) }

func (p *epollEngine) wake()       { p.bell.ring() }
func (p *epollEngine) woken()      { p.bell.heard() }
func (p *epollEngine) wakeFD() int { return p.bell.fd }

// post takes nothing: every socket is sent to at once.
func (p *epollEngine) post(*socket, []byte) bool { return false }
func (p *epollEngine) flush()                    {}

func (p *epollEngine) wait(max time.Duration) []event {
	n, errno := p.rawWait(min(max, shortWait))
	if n == 0 && errno == 0 && max > shortWait {
		// Rounded up, so that a timer that is due in half a millisecond is not polled for.
		ms := int((max - shortWait + time.Millisecond - 1) / time.Millisecond)
		var err error
		if n, err = unix.EpollWait(p.ep, p.ready[:], ms); err != nil {
			n = 0
		}
	}
	if errno == unix.EINTR {
		runtime.Gosched() // the signal was the scheduler's: somebody wants this thread to stop
	}
	for i := range n {
		ev := &p.ready[i]
		p.out[i] = event{int(ev.Fd), uint32(ev.Pad), ev.Events}
	}
	return p.out[:n]
}

func (p *epollEngine) rawWait(d time.Duration) (int, syscall.Errno) {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.ep), uintptr(unsafe.Pointer(&p.ready[0])),
		uintptr(len(p.ready)), uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// bell is an eventfd that wakes a loop.
type bell struct{ fd int }

func (b *bell) open() (err error) {
	b.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return os.NewSyscallError("eventfd", err)
}

// ring is safe for concurrent use.
func (b *bell) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(b.fd, one[:])
}

func (b *bell) heard() {
	var count [8]byte
	_, _ = unix.Read(b.fd, count[:])
}

func (b *bell) close() { _ = unix.Close(b.fd) }
