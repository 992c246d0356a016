package relay

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/pgtier/pgtier/proxy/wire"
)

// TestNoAllocations relays ten thousand transactions through real sockets: what that allocates in the whole process, the
// test's own two ends included, must not depend on their number.
func TestNoAllocations(t *testing.T) {
	answer := wire.AppendReadyForQuery(wire.AppendCommandComplete(appendRow(nil, "1"), "SELECT 1"), wire.Idle)
	query := wire.AppendQuery(nil, "select 1")
	h := newHouse(t, houseOptions{size: 1, behave: func(v *testServer) { echo(v.conn, len(query), answer) }})
	c := h.client(-1)
	in := make([]byte, len(answer))
	transaction := func() {
		if _, err := c.conn.Write(query); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.conn, in); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		transaction()
	}
	const transactions = 10000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range transactions {
		transaction()
	}
	runtime.ReadMemStats(&after)
	// The tick of the pools and the runtime's own housekeeping allocate a little now and then.
	if n := after.Mallocs - before.Mallocs; n > transactions/20 {
		t.Errorf("%d allocations in %d transactions", n, transactions)
	}
}

// echo answers each message of so many bytes.
func echo(conn net.Conn, size int, answer []byte) {
	in := make([]byte, size)
	for {
		if _, err := io.ReadFull(conn, in); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
