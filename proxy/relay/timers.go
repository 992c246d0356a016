package relay

import (
	"container/heap"
	"slices"
)

// timers is a heap of sockets by the moment at which they want to be looked at. An entry may be early: the moment is
// looked up again when it comes, so that moving a deadline further away, which every transaction does, touches no heap.
type timers struct{ heap []timer }

type timer struct {
	at int64
	s  *socket
}

func (t *timers) Len() int           { return len(t.heap) }
func (t *timers) Less(i, j int) bool { return t.heap[i].at < t.heap[j].at }
func (t *timers) Swap(i, j int)      { t.heap[i], t.heap[j] = t.heap[j], t.heap[i] }
func (t *timers) Push(x any)         { t.heap = append(t.heap, x.(timer)) }
func (t *timers) Pop() any {
	last := len(t.heap) - 1
	x := t.heap[last]
	t.heap[last] = timer{}
	t.heap = t.heap[:last]
	return x
}

// arm sees to it that s is looked at no later than at; 0 = need not be.
func (t *timers) arm(s *socket, at int64) {
	if at == 0 || s.timerAt != 0 && s.timerAt <= at {
		return
	}
	s.timerAt = at
	s.timers++
	heap.Push(t, timer{at, s})
}

// forget removes the entries of s. Servers seldom have one.
func (t *timers) forget(s *socket) {
	if s.timers > 0 {
		t.heap = slices.DeleteFunc(t.heap, func(x timer) bool { return x.s == s })
		heap.Init(t)
	}
	s.timerAt, s.timers = 0, 0
}

// next returns the earliest moment, 0 = none.
func (t *timers) next() int64 {
	if len(t.heap) == 0 {
		return 0
	}
	return t.heap[0].at
}

// due returns a socket whose moment has come, nil when there is none.
func (t *timers) due(now int64) *socket {
	for len(t.heap) > 0 && t.heap[0].at <= now {
		x := heap.Pop(t).(timer)
		x.s.timers--
		if x.s.timerAt == x.at { // else a newer entry stands for it
			x.s.timerAt = 0
			return x.s
		}
	}
	return nil
}
