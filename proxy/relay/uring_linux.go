package relay

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one io_uring instance: a queue of requests that the kernel reads, and a queue of completions that it writes, both
// in memory that is shared with it (io_uring_setup(2), io_uring_enter(2), linux/io_uring.h).
//
//	requests     [ e0 e1 e2 ... ]   filled at next; given to the kernel by enter
//	completions  [ c0 c1 c2 ... ]   head (ours) .. tail (the kernel's)
//
// Only the thread that called enable may use it: that lets the kernel do what completes a request when this thread waits,
// in place of interrupting it.
type ring struct {
	fd       int
	rings    []byte // both queues' heads and tails, and the completions
	memory   []byte // the requests
	requests []request
	next     uint32 // number of requests ever made
	given    uint32 // of these, how many the kernel has taken
	tail     *uint32
	done     []completion
	doneHead *uint32
	doneTail *uint32
	wait     waiting
}

// request is struct io_uring_sqe as far as it is used here.
type request struct {
	op     uint8
	flags  uint8
	_      uint16 // ioprio
	fd     int32
	_      uint64 // off
	addr   uint64
	length uint32
	detail uint32 // MSG_* of a send, the events of a poll
	data   uint64 // comes back in the completion
	_      [3]uint64
}

// completion is struct io_uring_cqe.
type completion struct {
	data   uint64
	result int32 // as of the system call; -errno
	flags  uint32
}

// waiting is struct io_uring_getevents_arg with what it points to.
type waiting struct {
	arg struct {
		sigmask     uint64
		sigmaskSize uint32
		minWait     uint32
		timeout     uint64 // *limit
	}
	limit unix.Timespec
}

const (
	opPollAdd    = 6
	opPollRemove = 7
	opSend       = 26

	pollMulti = 1 << 0 // in length: stays armed
	doneMore  = 1 << 1 // in completion.flags: it has stayed armed

	setupCQSize       = 1 << 3
	setupDisabled     = 1 << 6
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3

	registerEnable = 12

	offsetRings    = 0
	offsetRequests = 0x10000000
)

// setup is struct io_uring_params.
type setup struct {
	requests, completions, flags, cpu, idle, features, wq uint32
	_                                                     [3]uint32
	sq                                                    struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
	cq                                                    struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
}

var errOldURing = errors.New("io_uring: too old")

// open makes a ring for so many requests at a time, a power of two. It is not usable before enable.
func (r *ring) open(requests uint32) error {
	p := setup{completions: 16 * requests, flags: setupCQSize | setupDisabled | setupSingleIssuer | setupDeferTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(requests), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return os.NewSyscallError("io_uring_setup", errno)
	}
	r.fd = int(fd) // the kernel has set close-on-exec
	if need := uint32(featSingleMmap | featNoDrop | featExtArg); p.features&need != need {
		r.close()
		return errOldURing
	}
	if err := r.share(&p); err != nil {
		r.close()
		return os.NewSyscallError("mmap", err)
	}
	return nil
}

func (r *ring) share(p *setup) (err error) {
	size := max(int(p.sq.array+p.requests*4), int(p.cq.cqes+p.completions*uint32(unsafe.Sizeof(completion{}))))
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offsetRings, size, prot, flags); err != nil {
		return err
	}
	if r.memory, err = unix.Mmap(r.fd, offsetRequests, int(p.requests)*int(unsafe.Sizeof(request{})), prot, flags); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[offset])) }
	r.requests = unsafe.Slice((*request)(unsafe.Pointer(&r.memory[0])), p.requests)
	r.tail, r.doneHead, r.doneTail = at(p.sq.tail), at(p.cq.head), at(p.cq.tail)
	r.done = unsafe.Slice((*completion)(unsafe.Pointer(&r.rings[p.cq.cqes])), p.completions)
	order := unsafe.Slice(at(p.sq.array), p.requests)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

// enable makes the calling thread the ring's only one.
func (r *ring) enable() error {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEnable, 0, 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("io_uring_register", errno)
	}
	return nil
}

func (r *ring) close() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory)
	}
	if r.rings != nil {
		_ = unix.Munmap(r.rings)
	}
	_ = unix.Close(r.fd)
}

// full reports whether there is no room for a request before the next enter.
func (r *ring) full() bool { return r.next-r.given == uint32(len(r.requests)) }

// add queues a request. The ring must not be full. What it points to must stay as it is until enter has taken it.
func (r *ring) add(q request) {
	r.requests[r.next&uint32(len(r.requests)-1)] = q
	r.next++
}

// enter gives what is queued to the kernel, which carries out what does not have to wait, and then waits for so many
// completions, 0 = does not, no longer than limit. raw: without the scheduler's syscall hooks.
func (r *ring) enter(completions int, limit time.Duration, raw bool) syscall.Errno {
	atomic.StoreUint32(r.tail, r.next)
	r.wait.limit = unix.NsecToTimespec(int64(limit))
	r.wait.arg.timeout = uint64(uintptr(unsafe.Pointer(&r.wait.limit)))
	call := unix.Syscall6
	if raw {
		call = rawSyscall6
	}
	n, _, errno := call(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.next-r.given), uintptr(completions),
		enterGetEvents|enterExtArg, uintptr(unsafe.Pointer(&r.wait.arg)), unsafe.Sizeof(r.wait.arg))
	if errno == 0 {
		r.given += uint32(n)
	}
	return errno
}

func rawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err syscall.Errno) {
	return syscall.RawSyscall6(trap, a1, a2, a3, a4, a5, a6)
}

// each hands over the completions that are here.
func (r *ring) each(take func(completion)) {
	head := *r.doneHead
	for head != atomic.LoadUint32(r.doneTail) {
		c := r.done[head&uint32(len(r.done)-1)]
		head++
		atomic.StoreUint32(r.doneHead, head)
		take(c)
	}
}
