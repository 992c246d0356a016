package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

func TestServed(t *testing.T) {
	h := newHouse(t, houseOptions{size: 3, loops: 2})
	var clients sync.WaitGroup
	for i := range 20 {
		c := h.client(-1)
		clients.Go(func() {
			for j := range 50 {
				want := fmt.Sprint(i*1000 + j)
				if got := c.ask("select " + want); got != want+" C Z I" {
					t.Errorf("client %d: got %q, want %s", i, got, want)
					return
				}
			}
		})
	}
	clients.Wait()
	if n := h.opens(); n > 3 {
		t.Errorf("%d servers for a pool of 3", n)
	}
	if h.group.Live() != 20 {
		t.Errorf("%d clients live", h.group.Live())
	}
}

func TestPipeline(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	var queries []string
	for i := range 500 {
		queries = append(queries, fmt.Sprint("select ", i))
	}
	go c.send(queries...)
	for i := range 500 {
		if got, want := c.reply(), fmt.Sprint(i, " C Z I"); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestOneByteAtATime(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	for _, b := range wire.AppendQuery(wire.AppendQuery(nil, "select 1"), "select 2") {
		c.write([]byte{b})
	}
	if got := c.reply() + ", " + c.reply(); got != "1 C Z I, 2 C Z I" {
		t.Errorf("got %q", got)
	}
}

// TestBackpressure: a server that sends without end to a client that does not read is not read either.
func TestBackpressure(t *testing.T) {
	stuck := make(chan int, 1)
	h := newHouse(t, houseOptions{size: 1, behave: func(v *testServer) {
		if _, err := v.conn.Read(make([]byte, 1024)); err != nil {
			return
		}
		// It writes until nobody takes more. That nothing is taken for a while can only be seen by waiting.
		row, sent := appendRow(nil, strings.Repeat("x", 32<<10)), 0
		for err := error(nil); err == nil; {
			_ = v.conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			var n int
			n, err = v.conn.Write(row[sent%len(row):])
			sent += n
		}
		stuck <- sent
		_ = v.conn.SetWriteDeadline(time.Time{})
		tail := append([]byte(nil), row[sent%len(row):]...)
		tail = wire.AppendReadyForQuery(wire.AppendCommandComplete(tail, "DONE"), wire.Idle)
		if _, err := v.conn.Write(tail); err == nil {
			_, _ = v.conn.Read(make([]byte, 1))
		}
	}})
	c := h.client(-1)
	c.send("everything")
	sent := <-stuck
	// Two socket buffers of the kernel's, and what the loop keeps.
	if limit := 2<<20 + recvBuffer; sent > limit {
		t.Errorf("%d bytes were taken for a client that does not read", sent)
	}
	if got := c.reply(); !strings.HasSuffix(got, "C Z I") || len(got) < sent-sent/100 {
		t.Errorf("%d of %d bytes arrived", len(got), sent)
	}
}

func TestServerEndsWhileIdle(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	c.expect("server", "1 C Z I")
	_ = h.server(0).conn.Close()
	<-h.server(0).done
	c.expect("server", "2 C Z I")
}

func TestServerSpeaksWhileIdle(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	c.expect("server", "1 C Z I")
	if _, err := h.server(0).conn.Write(pgerr.Fatal(pgerr.AdminShutdown, "shutting down").Append(nil)); err != nil {
		t.Fatal(err)
	}
	<-h.server(0).done // the relay has closed it
	c.expect("server", "2 C Z I")
}

func TestServerDiesInAQuery(t *testing.T) {
	h := newHouse(t, houseOptions{size: 2})
	c, other := h.client(-1), h.client(-1)
	other.expect("begin", "C Z T")
	if got := c.ask("die"); got != "error 08006 end" {
		t.Errorf("got %q", got)
	}
	if r := h.reason(); r != session.ReasonServerGone {
		t.Errorf("reason %q", r)
	}
	other.expect("select 1", "1 C Z T")
	h.client(-1).expect("select 2", "2 C Z I")
}

// TestMoves: the only server goes from loop to loop.
func TestMoves(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1, loops: 2})
	a, b := h.client(0), h.client(1)
	if a.relayed.loop == b.relayed.loop {
		t.Fatal("both are on one loop")
	}
	for range 100 {
		a.expect("server", "1 C Z I")
		b.expect("server", "1 C Z I")
	}
	a.expect("begin", "C Z T")
	b.send("server")
	a.expect("commit", "C Z I")
	if got := b.reply(); got != "1 C Z I" {
		t.Errorf("got %q", got)
	}
}

// TestMovesUnderLoad: clients of two loops fight for two servers.
func TestMovesUnderLoad(t *testing.T) {
	h := newHouse(t, houseOptions{size: 2, loops: 2})
	var clients sync.WaitGroup
	for i := range 8 {
		c := h.client(i % 2)
		clients.Go(func() {
			for j := range 100 {
				if got, want := c.ask(fmt.Sprint("select ", j)), fmt.Sprint(j, " C Z I"); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
			}
		})
	}
	clients.Wait()
	if n := h.opens(); n != 2 {
		t.Errorf("%d servers", n)
	}
}

// TestCancel: the cancelled server is not lent again before the cancel request is over, lest it hits the next client.
func TestCancel(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c, next := h.client(-1), h.client(-1)
	v := <-h.opened
	v.blocked = make(chan struct{})
	c.send("sleep")
	<-v.asleep
	h.group.Cancel(c.relayed)
	if got := c.reply(); got != "error 57014 Z I" {
		t.Errorf("got %q", got)
	}
	next.send("select 1")
	h.wait("the next client waits", func() bool { return h.pools.Stats()[0].Waiters == 1 })
	if h.pools.Stats()[0].Leased != 1 {
		t.Error("the server has been released while a cancel request for it is under way")
	}
	close(v.blocked)
	if got := next.reply(); got != "1 C Z I" {
		t.Errorf("got %q", got)
	}
	if h.opens() != 1 {
		t.Errorf("%d servers", h.opens())
	}
}

// TestClientLeaves: what it was running is cancelled, and its server serves others.
func TestClientLeaves(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	c.send("begin", "sleep")
	if got := c.reply(); got != "C Z T" {
		t.Fatalf("got %q", got)
	}
	_ = c.conn.Close()
	if r := h.reason(); r != session.ReasonClientGone {
		t.Errorf("reason %q", r)
	}
	h.client(-1).expect("server", "1 C Z I")
}

// TestTerminate: a client that says goodbye needs no server for it.
func TestTerminate(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	busy, c := h.client(-1), h.client(-1)
	busy.expect("begin", "C Z T")
	c.write(wire.AppendEmpty(nil, wire.Terminate))
	_ = c.conn.Close()
	if r := h.reason(); r != session.ReasonTerminated && r != session.ReasonClientGone {
		t.Errorf("reason %q", r)
	}
	h.wait("the client is forgotten", func() bool { return h.group.Live() == 1 })
}

// TestRefused: a request that waited too long fails, and what follows it in the same packet is looked at all the same.
func TestRefused(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	busy := h.client(-1)
	hasty := h.decision
	hasty.Timeouts = config.Timeouts{QueryWait: 200 * time.Millisecond}
	c := h.clientLike(-1, hasty)
	busy.expect("begin", "C Z T")
	batch := wire.AppendEmpty(append([]byte("P\x00\x00\x00\x08\x00\x00\x00\x00"), "E\x00\x00\x00\x09\x00\x00\x00\x00\x00"...), wire.Sync)
	c.write(wire.AppendQuery(batch, "select 1"))
	if got := c.reply(); got != "error 53300 Z I" {
		t.Fatalf("got %q", got)
	}
	busy.expect("commit", "C Z I")
	if got := c.reply(); got != "1 C Z I" && got != "error 53300 Z I" { // which of them, depends on how busy this machine is
		t.Errorf("got %q", got)
	}
}

func TestUnreachable(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	h.mu.Lock()
	h.refuse = &DialError{Public: pgerr.Fatal(pgerr.InvalidAuthorization, "no"), Definite: true, Cause: errors.New("28000")}
	h.mu.Unlock()
	_ = h.server(0).conn.Close()
	<-h.server(0).done
	if got := c.ask("select 1"); got != "error 28000 end" {
		t.Errorf("got %q", got)
	}
	if r := h.reason(); r != session.ReasonNoServer {
		t.Errorf("reason %q", r)
	}
}

// TestPanic: a bug in a session ends that session, and nobody else's. The bug here is a Decision that names no database,
// which the message of an expired grant wants to tell.
func TestPanic(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	h := newHouse(t, houseOptions{size: 2, log: zap.New(core)})
	other := h.client(-1)
	other.expect("begin", "C Z T")
	broken := h.decision
	tier := *h.decision.Tier
	tier.Database = nil
	broken.Tier = &tier
	broken.Limits = config.GrantLimits{Session: 100 * time.Millisecond}
	c := h.clientLike(-1, broken)
	c.send("begin")
	if got := c.reply(); got != "C Z T" {
		t.Fatalf("got %q", got)
	}
	if got := c.reply(); got != "error XX000 end" {
		t.Errorf("got %q", got)
	}
	if r := h.reason(); r != session.ReasonBug {
		t.Errorf("reason %q", r)
	}
	if logs.Len() != 1 {
		t.Errorf("%d lines in the log", logs.Len())
	}
	other.expect("select 1", "1 C Z T")
	h.wait("its server is closed", func() bool {
		select {
		case <-h.server(h.opens() - 1).done:
			return true
		default:
			return false
		}
	})
	h.client(-1).expect("select 2", "2 C Z I")
}

func TestKill(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	c.expect("begin", "C Z T")
	h.group.Kill(c.relayed, session.ReasonExpired, pgerr.Fatal(pgerr.AdminShutdown, "access ended"))
	if got := c.reply(); got != "error 57P01 end" {
		t.Errorf("got %q", got)
	}
	h.client(-1).expect("server", "1 C Z I")
}

// TestDrain: idle clients go at once, the others when their transactions have ended.
func TestDrain(t *testing.T) {
	h := newHouse(t, houseOptions{size: 2, loops: 2})
	idle, busy := h.client(0), h.client(1)
	busy.expect("begin", "C Z T")
	drained := make(chan error, 1)
	go func() { drained <- h.group.Drain(context.Background()) }()
	if got := idle.reply(); got != "error 57P01 end" {
		t.Errorf("got %q", got)
	}
	busy.expect("select 1", "1 C Z T")
	select {
	case err := <-drained:
		t.Fatalf("drained with a transaction open: %v", err)
	default:
	}
	busy.send("commit")
	if got := busy.reply() + " " + busy.reply(); got != "C Z I error 57P01 end" {
		t.Errorf("got %q", got)
	}
	if err := <-drained; err != nil || h.group.Live() != 0 {
		t.Errorf("%v, %d live", err, h.group.Live())
	}
}

func TestDrainGivesUp(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	h.client(-1).expect("begin", "C Z T")
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := h.group.Drain(ctx); err != context.Canceled {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	h := newHouse(t, houseOptions{size: 1})
	c := h.client(-1)
	c.expect("select 1", "1 C Z I")
	h.group.Close()
	if got := c.reply(); got != "end" {
		t.Errorf("got %q", got)
	}
	ours, theirs := h.socketPair()
	if _, err := h.group.Adopt(ours, nil, session.Config{}); err != ErrClosed {
		t.Error(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("the socket of a client that was not adopted is open")
	}
	_ = theirs.Close()
}

// TestNoDescriptorLeaks: clients and servers that end in every way leave no descriptor behind.
func TestNoDescriptorLeaks(t *testing.T) {
	before := descriptors(t)
	t.Run("use", func(t *testing.T) {
		h := newHouse(t, houseOptions{size: 4, loops: 2})
		for i := range 40 {
			c := h.client(i % 2)
			switch i % 4 {
			case 0:
				c.expect("select 1", "1 C Z I")
				_ = c.conn.Close()
			case 1:
				_ = c.ask("die")
			case 2:
				c.expect("begin", "C Z T")
				h.group.Kill(c.relayed, session.ReasonShutdown, pgerr.Fatal(pgerr.AdminShutdown, "end"))
				_ = c.reply()
			case 3:
				c.write([]byte("Q\x00\x00\x00\x01"))
				_ = c.reply()
			}
		}
		h.wait("all clients are forgotten", func() bool { return h.group.Live() == 0 })
	})
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}
