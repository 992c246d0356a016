package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is all clients of a phase.
type crowd struct {
	lab     *lab
	report  *report
	stormy  atomic.Bool // servers are killed: any connection may break at any moment
	quit    chan struct{}
	wg      sync.WaitGroup
	clients []*client
}

func newCrowd(l *lab, r *report) *crowd {
	return &crowd{lab: l, report: r, quit: make(chan struct{})}
}

// serial numbers clients over all phases: what one has written is nobody else's.
var serial atomic.Int64

// start lets all clients begin.
func (w *crowd) start() {
	for i := range w.lab.clients {
		w.add(identities[i%len(identities)], transactionHabits)
	}
	for range w.lab.sessions {
		w.add(keeper, sessionHabits)
	}
	const listeners = 4
	for range listeners {
		w.wg.Go(func() { w.listen(int(serial.Add(1))) })
	}
}

func (w *crowd) add(identity string, habits []habit) {
	id := int(serial.Add(1))
	c := &client{crowd: w, id: id, identity: identity, habits: habits, rand: rand.New(rand.NewPCG(w.lab.seed, uint64(id)))}
	w.clients = append(w.clients, c)
	w.wg.Go(c.live)
}

// stop lets all clients leave. One that does not within patience is stuck.
func (w *crowd) stop() error {
	close(w.quit)
	done := make(chan struct{})
	go func() {
		w.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(2 * patience):
		return fmt.Errorf("clients do not leave within %v", 2*patience)
	}
}

func (w *crowd) stopping() bool {
	select {
	case <-w.quit:
		return true
	default:
		return false
	}
}

// cutOff cuts random clients off, at whatever they are doing, for as long as it says.
func (w *crowd) cutOff(ctx context.Context, d time.Duration) (n int) {
	const often = 20 * time.Millisecond
	ticker := time.NewTicker(often)
	defer ticker.Stop()
	end := time.After(d)
	for {
		select {
		case <-ticker.C:
			if w.clients[rand.IntN(len(w.clients))].cut(rand.IntN(2) == 0) {
				n++
			}
		case <-end:
			return n
		case <-ctx.Done():
			return n
		}
	}
}
