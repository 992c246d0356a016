package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// memory is what idle clients cost a proxy.
type memory struct {
	target string
	base   int64 // bytes: started, no client
	idle   int64 // bytes for each client: logged in, has never asked anything
	burst  int64 // bytes for each client: all have asked something at once and are idle again
}

// measureMemory opens idle clients on fresh proxies, one proxy after the other.
func measureMemory(ctx context.Context, b *lab) ([]memory, error) {
	var all []memory
	for _, name := range b.options.targets {
		if name == "direct" {
			continue
		}
		m, err := b.memoryOf(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		fmt.Fprintf(os.Stderr, "%d idle clients  %-9s  %d bytes each, %d after a burst\n", b.options.idle, name, m.idle, m.burst)
	}
	return all, nil
}

func (b *lab) memoryOf(ctx context.Context, name string) (m memory, err error) {
	t, err := b.start(ctx, name)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	m.target = name
	if m.base, err = t.rss(); err != nil {
		return m, err
	}
	conns, err := b.connectMany(ctx, t)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close(ctx)
			}
		}
	}()
	if err != nil {
		return m, err
	}
	after, err := t.rss()
	if err != nil {
		return m, err
	}
	m.idle = (after - m.base) / int64(len(conns))
	if err := each(len(conns), len(conns), func(i int) error {
		_, err := conns[i].Exec(ctx, "SELECT abalance FROM pgbench_accounts WHERE aid = 1").ReadAll()
		return err
	}); err != nil {
		return m, err
	}
	if after, err = t.rss(); err != nil {
		return m, err
	}
	m.burst = (after - m.base) / int64(len(conns))
	return m, nil
}

// connectMany logs idle clients in, a few at a time: the SCRAM exchange costs this process a millisecond each.
func (b *lab) connectMany(ctx context.Context, t *target) ([]*pgconn.PgConn, error) {
	conns := make([]*pgconn.PgConn, b.options.idle)
	err := each(len(conns), 16, func(i int) (err error) {
		conns[i], err = b.connect(ctx, t)
		return err
	})
	return conns, err
}

// each calls f with 0 to n-1, at most so many at once, and returns the first error.
func each(n, atOnce int, f func(i int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}
