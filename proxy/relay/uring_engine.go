package relay

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uringEngine watches sockets with one poll request each, which stays armed, and sends for all of them with the call that
// waits: a loop makes one system call a round, besides the reads. What it saves is above all the switches of context. A
// send wakes the peer, and whoever wakes somebody is itself put aside on the way back from its call (measured: 0.3 switches
// a transaction against 0.06).
//
// Sockets are read by recv, not by requests of the ring: a client that waits for a server holds no buffer, and a server
// that is faster than its client is simply not read.
//
// A send never waits in the kernel (MSG_DONTWAIT), so it has ended when the call returns, and what it was given may be
// written over.
type uringEngine struct {
	ring   ring
	bell   bell
	events []event // that have happened
	spare  []event // the last ones handed out
	posted []posted
	bytes  []byte // of all that is posted
	sent   int    // how many of posted have ended
	take   func(completion)
}

// posted is a send to come: bytes[from:to].
type posted struct {
	s        *socket
	from, to int
}

const (
	ringSize = 512

	// What a round may post, and what one socket may: large results are sent from where they were received.
	maxPosted      = 128
	maxPostedBytes = 64 << 10
	maxPostedEach  = 8 << 10
)

// A completion's data: what it is about in the upper half, or one of these.
const (
	dataIgnored = 1<<64 - 1
	dataSend    = 1 << 63 // | index in posted
)

// dataPoll makes the data of a poll request. Descriptors are below 1<<31.
func dataPoll(fd int, generation uint32) uint64 { return uint64(fd)<<32 | uint64(generation) }

func (e *uringEngine) open() error {
	if err := e.ring.open(ringSize); err != nil {
		return err
	}
	if err := e.bell.open(); err != nil {
		e.ring.close()
		return err
	}
	e.bytes = make([]byte, 0, maxPostedBytes)
	e.posted = make([]posted, 0, maxPosted)
	e.take = e.completed
	return nil
}

func (e *uringEngine) start() error {
	if err := e.ring.enable(); err != nil {
		return err
	}
	return e.add(e.bell.fd, 0)
}

func (e *uringEngine) close() {
	e.ring.close()
	e.bell.close()
}

func (e *uringEngine) wake()       { e.bell.ring() }
func (e *uringEngine) woken()      { e.bell.heard() }
func (e *uringEngine) wakeFD() int { return e.bell.fd }

func (e *uringEngine) add(fd int, generation uint32) error {
	e.request(request{op: opPollAdd, fd: int32(fd), length: pollMulti, detail: evAll, data: dataPoll(fd, generation)})
	return nil
}

// remove is carried out at once: the request holds the socket open, and it is about to be closed.
func (e *uringEngine) remove(fd int, generation uint32) {
	e.request(request{op: opPollRemove, fd: -1, addr: dataPoll(fd, generation), data: dataIgnored})
	e.submit()
}

func (e *uringEngine) request(q request) {
	if e.ring.full() {
		e.submit()
	}
	e.ring.add(q)
}

func (e *uringEngine) post(s *socket, b []byte) bool {
	if s.posted || len(e.posted) == maxPosted || len(e.bytes)+len(b) > maxPostedBytes {
		e.flush()
	}
	if len(b) > maxPostedEach || s.full() {
		return false
	}
	from := len(e.bytes)
	e.bytes = append(e.bytes, b...) // never moves: there is room
	e.request(request{
		op: opSend, fd: int32(s.nc.FD()), data: dataSend | uint64(len(e.posted)),
		addr: uint64(uintptr(unsafe.Pointer(&e.bytes[from]))), length: uint32(len(b)), detail: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL,
	})
	e.posted = append(e.posted, posted{s, from, len(e.bytes)})
	s.posted = true
	return true
}

func (e *uringEngine) flush() {
	if len(e.posted) > 0 {
		e.submit()
	}
}

// submit carries out everything that is queued.
func (e *uringEngine) submit() {
	for {
		errno := e.ring.enter(0, 0, true)
		e.ring.each(e.take)
		if e.ring.given == e.ring.next && e.sent == len(e.posted) {
			e.forget()
			return
		}
		e.mustGoOn(errno)
	}
}

// mustGoOn ends the loop on an error that would come back for ever.
func (e *uringEngine) mustGoOn(errno syscall.Errno) {
	switch errno {
	case 0, unix.EINTR, unix.EAGAIN, unix.EBUSY, unix.ETIME:
	default:
		panic("BUG: io_uring_enter: " + errno.Error())
	}
}

func (e *uringEngine) wait(max time.Duration) []event {
	if len(e.events) > 0 { // they came while the last round's were handled
		max = 0
	}
	errno := e.turn(min(max, shortWait), true)
	if len(e.events) == 0 && errno != unix.EINTR && max > shortWait {
		errno = e.turn(max-shortWait, false)
	}
	if errno == unix.EINTR {
		runtime.Gosched() // the signal was the scheduler's: somebody wants this thread to stop
	}
	e.events, e.spare = e.spare[:0], e.events
	return e.spare
}

// turn sends what is posted and waits for an event: one more completion than there are sends.
func (e *uringEngine) turn(limit time.Duration, raw bool) syscall.Errno {
	completions := 0
	if limit > 0 {
		completions = len(e.posted) - e.sent + 1
	}
	errno := e.ring.enter(completions, limit, raw)
	e.ring.each(e.take)
	if completions > 0 && len(e.events) == 1 {
		// A wait that has slept returns one event, not always the first, and leaves the others where they are: that a server
		// has ended must not come behind the request that it would be lent to.
		_ = e.ring.enter(0, 0, true)
		e.ring.each(e.take)
	}
	if e.ring.given != e.ring.next || e.sent != len(e.posted) {
		e.submit() // seldom: the kernel had no memory, or no room for completions
	}
	e.forget()
	return errno
}

// forget empties what has been sent.
func (e *uringEngine) forget() {
	clear(e.posted)
	e.posted, e.bytes, e.sent = e.posted[:0], e.bytes[:0], 0
}

// completed takes one completion.
func (e *uringEngine) completed(c completion) {
	switch {
	case c.data == dataIgnored:
	case c.data&dataSend != 0:
		p := &e.posted[c.data&^dataSend]
		e.sent++
		p.s.posted = false
		p.s.sent(e.bytes[p.from:p.to], c.result)
	default:
		e.polled(c)
	}
}

// polled takes what a poll request says. One that has ended, because the kernel was short of something, is made again
// unless its socket is gone, which the event's receiver knows: it is asked to read either way.
func (e *uringEngine) polled(c completion) {
	fd, generation := int(c.data>>32), uint32(c.data)
	switch {
	case c.result == -int32(unix.ECANCELED):
		return
	case c.result < 0:
		c.result = evHup
	case c.flags&doneMore == 0:
		_ = e.add(fd, generation)
	}
	e.events = append(e.events, event{fd, generation, uint32(c.result)})
}
