package session

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/proxy/wire"
)

// TestNobodyElse is the promise of a shared tier: whatever fails on the servers, and whenever, no statement of a client's is
// executed in another role than its own or with a setting that another identity has made. Clients of three identities send
// random requests and parts of them, cut at random; roles are revoked and granted; any message may fail as if it had been cancelled, also those
// of pgtier's own.
func TestNobodyElse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { newHavoc(rt).play() })
}

var havocIdentities = []string{"alice", "bob", "carol"}

type havoc struct {
	propertyRun
	revoked map[string]bool
	ran     int
}

func newHavoc(rt *rapid.T) *havoc {
	h := &havoc{propertyRun: propertyRun{rt: rt, w: newWorld(rt)}, revoked: map[string]bool{}}
	h.w.log = h.say
	for i := range rapid.IntRange(1, 2).Draw(rt, "servers") {
		h.servers = append(h.servers, h.havocServer(i))
	}
	for i := range rapid.IntRange(2, 4).Draw(rt, "clients") {
		who := rapid.IntRange(0, len(havocIdentities)-1).Draw(rt, "identity")
		opt := clientOptions{shared: true, identity: havocIdentities[who], guard: rapid.Bool().Draw(rt, "guard"), session: rapid.IntRange(0, 3).Draw(rt, "mode") == 0, reuse: rapid.Bool().Draw(rt, "reuse")}
		c := &propertyClient{testClient: h.w.client(fmt.Sprint("c", i+1), opt)}
		c.script = h.script(who + 1)
		h.clients = append(h.clients, c)
	}
	return h
}

// havocServer watches what is executed: clients say "select n", where n is who they are.
func (h *havoc) havocServer(i int) *propertyServer {
	v := h.server(i)
	v.pg.revoked = h.revoked
	v.pg.watch = func(st fakeStatement) {
		n, err := strconv.Atoi(st.arg)
		if st.kind != "select" || err != nil {
			return
		}
		h.ran++
		mem := v.pg.settings["work_mem"]
		if role := v.pg.settings["role"]; role != havocIdentities[n-1] || mem != "4MB" && mem != fmt.Sprint(n, "MB") {
			h.fatalf("%s has run as %s with work_mem %s", havocIdentities[n-1], role, mem)
		}
	}
	return v
}

// script is what an identity sends: in each of its ways to send it.
func (h *havoc) script(who int) (ops []operation) {
	texts := []string{fmt.Sprint("select ", who), fmt.Sprint("select ", who), fmt.Sprintf("set work_mem to '%dMB'", who), "begin", "commit", "rollback"}
	for range rapid.IntRange(1, 8).Draw(h.rt, "operations") {
		var op operation
		for range rapid.IntRange(1, 3).Draw(h.rt, "requests") {
			sql := rapid.SampledFrom(texts).Draw(h.rt, "sql")
			switch rapid.IntRange(0, 8).Draw(h.rt, "way") {
			case 0:
				op.bytes = wire.AppendQuery(op.bytes, sql)
			case 1:
				op.bytes = wire.AppendEmpty(appendStatement(op.bytes, sql), wire.Sync)
			case 2:
				op.bytes = appendStatement(op.bytes, sql)
			case 3:
				op.bytes = wire.AppendEmpty(frame(op.bytes, 'B', "", 0, "", 0, 0, 0, 0, 0, 0, 0), wire.Sync)
			case 4: // what belongs to a copy, where there may be none
				op.bytes = wire.AppendEmpty(op.bytes, rapid.SampledFrom([]byte("HdcS")).Draw(h.rt, "stray"))
			case 5:
				op.bytes = frame(op.bytes, 'F', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
			case 6: // a Sync that a copy swallows
				op.bytes = wire.AppendEmpty(appendStatement(op.bytes, "copy t from stdin"), wire.Sync)
				op.bytes = wire.AppendEmpty(op.bytes, wire.CopyDone)
			case 7: // and one that meets a copy that has failed
				op.bytes = wire.AppendEmpty(appendStatement(op.bytes, "copy guarded from stdin"), wire.Sync)
				op.bytes = wire.AppendEmpty(frame(op.bytes, 'f', "no more", 0), wire.Sync)
			case 8:
				op.bytes = frame(op.bytes, 'E', "", 0, 0, 0, 0, 0)
			}
		}
		op.text, _ = describeFrames(op.bytes, false)
		ops = append(ops, op)
	}
	return append(ops, operation{text: "S", bytes: wire.AppendEmpty(nil, wire.Sync)})
}

// play lets everything happen that can, and disturbs it.
func (h *havoc) play() {
	for range 3000 {
		if len(h.clients) == 0 {
			break
		}
		switch rapid.IntRange(0, 30).Draw(h.rt, "havoc") {
		case 0:
			who := rapid.SampledFrom(havocIdentities).Draw(h.rt, "role")
			h.revoked[who] = !h.revoked[who]
			h.say("revoked %v", h.revoked)
		case 1:
			v := h.servers[rapid.IntRange(0, len(h.servers)-1).Draw(h.rt, "server")]
			h.say("strike %s", v.name)
			v.pg.strike = true
		case 2:
			c := h.clients[rapid.IntRange(0, len(h.clients)-1).Draw(h.rt, "client")]
			if !c.closed && c.sess.State() != Closed {
				h.w.event(c.testClient, (*Session).Cancel)
			}
		case 3:
			c := h.clients[rapid.IntRange(0, len(h.clients)-1).Draw(h.rt, "client")]
			if !c.closed && rapid.IntRange(0, 5).Draw(h.rt, "gone") == 0 {
				h.w.clientGone(c.testClient)
			}
		}
		h.replace()
		todo := h.possible()
		if len(todo) == 0 {
			break
		}
		todo[rapid.IntRange(0, len(todo)-1).Draw(h.rt, "next")]()
		for _, v := range h.servers {
			h.checkBatch(v)
		}
		h.replace()
	}
}

// replace watches the servers that have taken the place of closed ones.
func (h *havoc) replace() {
	for i, v := range h.servers {
		if v.pg.watch == nil {
			h.servers[i] = h.havocServer(i)
		}
	}
	h.clients = slices.DeleteFunc(h.clients, func(c *propertyClient) bool { return c.closed })
}
