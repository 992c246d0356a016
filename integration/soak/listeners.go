package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// pair is a client that listens on a channel of its own and one that notifies it.
type pair struct {
	listener, sender *client
	channel          string
}

// listen is the life of a pair: every notification arrives, once, in order, and nobody else's does.
func (w *crowd) listen(id int) {
	for !w.stopping() {
		random := rand.New(rand.NewPCG(w.lab.seed, uint64(id)))
		p := &pair{
			listener: &client{crowd: w, id: id, identity: identities[0], rand: random},
			sender:   &client{crowd: w, id: id, identity: identities[1], rand: random},
			channel:  fmt.Sprintf("soak_%d", id),
		}
		if err := p.talk(); err != nil {
			p.listener.judge("notification", err)
			p.listener.rest()
		}
		p.listener.leave()
		p.sender.leave()
	}
}

// talk connects both and lets the sender notify until the crowd stops or a connection ends.
func (p *pair) talk() error {
	l := p.listener
	if err := errors.Join(l.connect(), p.sender.connect()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.ask(ctx, "LISTEN "+p.channel); err != nil {
		return err
	}
	for !l.crowd.stopping() {
		l.rest()
		l.seq++
		if err := p.notify(); err != nil {
			return err
		}
	}
	return nil
}

// notify sends one notification, or several in a transaction, and waits for them.
func (p *pair) notify() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := p.listener
	var want []string
	sql := "BEGIN"
	for i := range 1 + l.rand.IntN(3) {
		payload := fmt.Sprintf("%s.%d", l.tag(), i)
		want = append(want, p.channel+" "+payload)
		sql += fmt.Sprintf("; SELECT pg_notify('%s', '%s')", p.channel, payload)
	}
	if err := p.sender.ask(ctx, sql+"; COMMIT"); err != nil {
		return err
	}
	for len(l.heard) < len(want) {
		if err := l.conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
	// One too many would come with, or before, the next answer.
	if err := l.ask(ctx, fmt.Sprintf("SELECT '%s', 1", l.tag()), l.series(1)...); err != nil {
		return err
	}
	if !slices.Equal(l.heard, want) {
		return l.wrong("heard %q, want %q", l.heard, want)
	}
	l.heard = nil
	l.crowd.report.notified.Add(int64(len(want)))
	return nil
}
