package relay

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/proxy/handover"
)

// eachEngine runs a test on every engine that this kernel offers.
func eachEngine(t *testing.T, test func(t *testing.T, l *Loop)) {
	for _, name := range []string{EngineEpoll, EngineURing} {
		t.Run(name, func(t *testing.T) {
			if got, err := chooseEngine(name); err != nil {
				t.Skip(err)
			} else if got != name {
				t.Fatalf("got %s", got)
			}
			runtime.LockOSThread() // an engine belongs to one thread
			defer runtime.UnlockOSThread()
			l := &Loop{engine: newEngine(name), in: make([]byte, recvBuffer)}
			if err := l.engine.open(); err != nil {
				t.Fatal(err)
			}
			defer l.engine.close()
			if err := l.engine.start(); err != nil {
				t.Fatal(err)
			}
			l.sockets = make([]*socket, l.engine.wakeFD()+1)
			test(t, l)
		})
	}
}

// pair returns a socket that the loop watches, and the descriptor of its peer.
func (l *Loop) pair(t *testing.T) (*socket, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{nc: handover.Detached(fds[0])}
	if err := l.register(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	return s, fds[1]
}

// until waits for an event of s that has one of the bits of mask.
func (l *Loop) until(t *testing.T, s *socket, mask uint32) event {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		for _, ev := range l.engine.wait(time.Second) {
			if l.about(&ev) == s && ev.mask&mask != 0 {
				return ev
			}
		}
	}
	t.Fatal("no event")
	return event{}
}

func (l *Loop) end(s *socket) {
	l.unregister(s)
	s.shut(l.in)
}

func TestEngineTellsOfWhatHappens(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		s, peer := l.pair(t)
		l.until(t, s, evWrite)
		for range 3 { // it stays armed
			if _, err := unix.Write(peer, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if ev := l.until(t, s, unix.EPOLLIN); ev.mask&evHup != 0 {
				t.Errorf("hung up: %b", ev.mask)
			}
			if n, _, err := s.recv(l.in); n != 5 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
		}
		if err := unix.Shutdown(peer, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		l.until(t, s, evHup)
		l.end(s)
		if n, err := unix.Read(peer, make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("the peer reads %d, %v: the engine holds the socket open", n, err)
		}
	})
}

func TestEngineForgetsASocketAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		s, peer := l.pair(t)
		if _, err := unix.Write(peer, []byte("late")); err != nil {
			t.Fatal(err)
		}
		fd := s.nc.FD()
		l.end(s)
		other, otherPeer := l.pair(t) // has the number of the first
		if _, err := unix.Write(otherPeer, []byte("now")); err != nil {
			t.Fatal(err)
		}
		if other.nc.FD() != fd {
			t.Fatalf("descriptor %d, not %d: this test tests nothing", other.nc.FD(), fd)
		}
		l.until(t, other, unix.EPOLLIN)
		if n, _, err := other.recv(l.in); n != 3 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		l.end(other)
	})
}

func TestEngineIsWoken(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		woken := 0
		for range 3 {
			go l.engine.wake()
			for found := false; !found; {
				for _, ev := range l.engine.wait(10 * time.Second) {
					if ev.fd == l.engine.wakeFD() && ev.mask&unix.EPOLLIN != 0 {
						l.engine.woken()
						woken++
						found = true
					}
				}
			}
		}
		if woken != 3 {
			t.Errorf("woken %d times", woken)
		}
		for _, ev := range l.engine.wait(0) { // that the bell can be rung again is an event as well
			if ev.mask&unix.EPOLLIN != 0 {
				t.Errorf("nothing has happened, but %v", ev)
			}
		}
	})
}

// TestEngineWatchesMany has more sockets than an engine takes requests or events at a time.
func TestEngineWatchesMany(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		waiting := make(map[*socket]bool)
		for range 2*ringSize + 10 {
			s, peer := l.pair(t)
			waiting[s] = true
			if _, err := unix.Write(peer, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		all := make([]*socket, 0, len(waiting))
		for s := range waiting {
			all = append(all, s)
		}
		for range 10_000 {
			for _, ev := range l.engine.wait(time.Second) {
				if s := l.about(&ev); s != nil && ev.mask&unix.EPOLLIN != 0 {
					delete(waiting, s)
				}
			}
			if len(waiting) == 0 {
				break
			}
		}
		if len(waiting) > 0 {
			t.Errorf("nothing was heard of %d", len(waiting))
		}
		for _, s := range all {
			l.end(s)
		}
	})
}

// TestSendKeepsOrder sends pieces of all sizes to sockets whose peers read slowly, and compares what arrives.
func TestSendKeepsOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		rapid.Check(t, func(r *rapid.T) {
			type end struct {
				s         *socket
				peer      int
				want, got bytes.Buffer
			}
			ends := make([]*end, rapid.IntRange(1, 4).Draw(r, "sockets"))
			for i := range ends {
				s, peer := l.pair(t)
				_ = unix.SetsockoptInt(s.nc.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10)
				ends[i] = &end{s: s, peer: peer}
			}
			in := make([]byte, 100<<10)
			receive := func(e *end, most int) {
				if n, err := unix.Read(e.peer, in[:most]); err == nil {
					e.got.Write(in[:n])
				}
			}
			drain := func() {
				for _, ev := range l.engine.wait(0) {
					if s := l.about(&ev); s != nil && ev.mask&evWrite != 0 && s.full() {
						if err := s.flush(); err != nil {
							r.Fatal(err)
						}
					}
				}
			}
			for i := range rapid.IntRange(1, 60).Draw(r, "steps") {
				e := rapid.SampledFrom(ends).Draw(r, "socket")
				switch rapid.IntRange(0, 5).Draw(r, "what") {
				default:
					b := bytes.Repeat([]byte{byte(i)}, rapid.SampledFrom([]int{1, 9, 200, 5000, maxPostedEach, maxPostedEach + 1, 40 << 10}).Draw(r, "size"))
					e.want.Write(b)
					if err := e.s.send(b); err != nil {
						r.Fatal(err)
					}
					clear(b) // it is not kept
				case 4:
					receive(e, rapid.IntRange(1, len(in)).Draw(r, "most"))
				case 5:
					drain()
				}
			}
			for _, e := range ends {
				for range 10_000 {
					if e.got.Len() == e.want.Len() {
						break
					}
					drain()
					receive(e, len(in))
				}
				if !bytes.Equal(e.got.Bytes(), e.want.Bytes()) {
					r.Errorf("%d bytes sent, %d arrived, or in another order", e.want.Len(), e.got.Len())
				}
				l.end(e.s)
			}
		})
	})
}

func TestSendToNobody(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		s, peer := l.pair(t)
		s.client = &Client{}
		if err := unix.Shutdown(peer, unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
		if err := s.send([]byte("too late")); err == nil {
			l.engine.wait(time.Second)
		} else {
			s.unsendable(err)
		}
		if !s.readable || !s.hup || !s.queued || s.full() {
			t.Errorf("readable %v, hup %v, queued %v, full %v", s.readable, s.hup, s.queued, s.full())
		}
		l.end(s)
	})
}

func TestLastBytesAreSentBeforeTheEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, l *Loop) {
		s, peer := l.pair(t)
		if err := s.send([]byte("good bye")); err != nil {
			t.Fatal(err)
		}
		l.end(s)
		in := make([]byte, 100)
		if n, err := unix.Read(peer, in); string(in[:max(n, 0)]) != "good bye" {
			t.Errorf("%q, %v", in[:max(n, 0)], err)
		}
		if n, err := unix.Read(peer, in); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestChooseEngine(t *testing.T) {
	if got, err := chooseEngine(EngineEpoll); got != EngineEpoll || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	auto, err := chooseEngine(EngineAuto)
	if err != nil || auto != EngineEpoll && auto != EngineURing {
		t.Errorf("%q, %v", auto, err)
	}
	if got, err := chooseEngine(EngineURing); err == nil && got != auto {
		t.Errorf("auto takes %s although there is %s", auto, got)
	} else if err != nil && (auto != EngineEpoll || !strings.Contains(err.Error(), "Linux 6.1")) {
		t.Errorf("auto takes %s, but %v", auto, err)
	}
}
