package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pgtier/pgtier/proxy/wire"
)

// TestLikeDirect is the promise of the whole package: several clients send random requests, pipelined and cut at random,
// through sessions that share a few servers, granted at random. Each must get byte for byte what it would have got from a
// server of its own.
func TestLikeDirect(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { newPropertyRun(rt).play() })
}

// propertyRun is one such afternoon.
type propertyRun struct {
	rt      *rapid.T
	w       *world
	clients []*propertyClient
	servers []*propertyServer
	lines   []logLine
	deaths  bool // clients leave at random
}

type propertyClient struct {
	*testClient
	script  []operation
	next    int
	checked int  // how much of what it got has been compared
	patient bool // sends an operation only when everything before it has been answered
	left    bool // went away before its time
}

// operation is what a client sends at once, and how long a direct server's answers are after it.
type operation struct {
	text   string
	bytes  []byte
	expect []byte // all that a direct server has answered by then
}

type propertyServer struct {
	*testServer
	pg   *fakePG
	seen int // of got
}

func newPropertyRun(rt *rapid.T) *propertyRun {
	r := &propertyRun{rt: rt, w: newWorld(rt)}
	r.w.log = r.say
	r.deaths = rapid.IntRange(0, 3).Draw(rt, "deaths") == 0
	for i := range rapid.IntRange(1, 3).Draw(rt, "servers") {
		r.servers = append(r.servers, r.server(i))
	}
	prepared := rapid.IntRange(1, 4).Draw(rt, "max_prepared")
	for i := range rapid.IntRange(1, 4).Draw(rt, "clients") {
		r.client(i, prepared)
	}
	return r
}

func (r *propertyRun) server(i int) *propertyServer {
	v := &propertyServer{pg: newFakePG(nil)}
	v.testServer = r.w.server(fmt.Sprint("s", i+1), v.pg.reports())
	return v
}

func (r *propertyRun) client(i, prepared int) {
	opt := clientOptions{prepared: prepared, identity: rapid.SampledFrom([]string{"alice", "alice", "bob"}).Draw(r.rt, "identity")}
	opt.label = rapid.IntRange(0, 3).Draw(r.rt, "label") > 0
	opt.setting = rapid.IntRange(0, 3).Draw(r.rt, "identity_setting") == 0
	startup := map[string]string{}
	if rapid.IntRange(0, 2).Draw(r.rt, "startup") == 0 {
		startup["application_name"] = fmt.Sprint("app ", i)
	}
	for name, value := range startup {
		opt.startup = append(opt.startup, Setting{name, value})
	}
	c := &propertyClient{testClient: r.w.client(fmt.Sprint("c", i+1), opt), patient: rapid.Bool().Draw(r.rt, "patient")}
	c.script = newScriptMaker(r.rt, newFakePG(startup), c.patient).script()
	r.welcome(c)
	r.clients = append(r.clients, c)
}

// welcome lets a client in, by way of a server that is not used again.
func (r *propertyRun) welcome(c *propertyClient) {
	v := &propertyServer{pg: newFakePG(nil)}
	v.testServer = r.w.server("first", v.pg.reports())
	r.w.start(c.testClient)
	if c.sess.State() == Waiting {
		r.w.grant(c.testClient, v.testServer)
	}
	for c.sess.State() == Preparing {
		v.execute(1)
		r.w.readServer(v.testServer)
	}
	c.got = stream{}
}

// play lets everything happen that can, in random order, until nothing is left to do.
func (r *propertyRun) play() {
	for step := 0; ; step++ {
		todo := r.possible()
		if len(todo) == 0 {
			break
		}
		if step > 20000 {
			r.fatalf("it does not come to an end")
		}
		todo[rapid.IntRange(0, len(todo)-1).Draw(r.rt, "next")]()
		r.compare()
	}
	r.end()
}

// possible returns all that may happen next.
func (r *propertyRun) possible() (todo []func()) {
	for _, c := range r.clients {
		switch {
		case c.closed:
		case c.sess.State() == Waiting:
			for _, v := range r.servers {
				if !v.closed && !v.orphan && v.srv.Session() == nil {
					todo = append(todo, func() { r.say("grant %s %s", c.name, v.name); r.w.grant(c.testClient, v.testServer) })
				}
			}
		case len(c.sent) > 0 && c.sess.MayRead():
			todo = append(todo, func() { r.w.readClient(c.testClient) })
		}
		if c.maySend() {
			todo = append(todo, func() { r.send(c) })
		}
	}
	for i, v := range r.servers {
		if v.closed {
			todo = append(todo, func() { r.servers[i] = r.server(i) })
			continue
		}
		if v.hasWork() {
			todo = append(todo, func() { r.serve(v) })
		}
		if len(v.sent) > 0 {
			todo = append(todo, func() { r.readServer(v) })
		}
	}
	return todo
}

func (c *propertyClient) maySend() bool {
	if c.closed || c.next == len(c.script) {
		return false
	}
	if !c.patient || c.next == 0 {
		return true
	}
	return len(c.got.b) >= len(c.script[c.next-1].expect)
}

// send lets a client send its next operation, in pieces.
func (r *propertyRun) send(c *propertyClient) {
	if r.deaths && rapid.IntRange(0, 9).Draw(r.rt, "death") == 0 {
		r.say("gone %s", c.name)
		c.left = true
		r.w.clientGone(c.testClient)
		return
	}
	op := c.script[c.next]
	c.next++
	r.say("%s sends %s", c.name, op.text)
	cut := rapid.IntRange(0, len(op.bytes)).Draw(r.rt, "cut")
	for _, piece := range [][]byte{op.bytes[:cut], op.bytes[cut:]} {
		c.sent = append(c.sent, piece...)
		r.w.readClient(c.testClient)
	}
}

func (v *propertyServer) hasWork() bool {
	if v.seen < len(v.got.b) {
		return true
	}
	_, size, ok := byte(0), 0, len(v.pg.in) >= wire.HeaderSize
	if ok {
		_, size, _ = wire.Header(v.pg.in)
	}
	return ok && len(v.pg.in) >= size && !v.pg.died
}

// serve lets a server execute some of what it has been sent.
func (r *propertyRun) serve(v *propertyServer) {
	v.execute(rapid.IntRange(1, 8).Draw(r.rt, "messages"))
}

func (v *propertyServer) execute(messages int) {
	v.pg.in = append(v.pg.in, v.got.b[v.seen:]...)
	v.seen = len(v.got.b)
	v.pg.serve(messages)
	v.sent = append(v.sent, v.pg.out...)
	v.pg.out = nil
}

// readServer reads a part of what a server has sent.
func (r *propertyRun) readServer(v *propertyServer) {
	all := v.sent
	n := rapid.IntRange(1, len(all)).Draw(r.rt, "read")
	v.sent = all[:n]
	r.w.readServer(v.testServer)
	v.sent = append(v.sent, all[n:]...)
}

// compare checks that nobody got what a direct server would not have sent.
func (r *propertyRun) compare() {
	for _, c := range r.clients {
		want := c.script[len(c.script)-1].expect
		got := c.got.b
		if len(got) > len(want) || !bytes.Equal(got[c.checked:], want[c.checked:len(got)]) {
			r.different(c, got, want)
		}
		c.checked = len(got)
	}
	for _, v := range r.servers {
		if v.closed && !r.deaths {
			r.fatalf("%s has been closed", v.name)
		}
		r.checkBatch(v)
	}
}

// checkBatch checks that a server is not free in the middle of a batch, and has met no function call in one.
func (r *propertyRun) checkBatch(v *propertyServer) {
	if v.pg.spoiled {
		r.fatalf("%s has met a function call in a batch", v.name)
	}
	if v.srv.Session() == nil && !v.orphan && !v.closed && v.pg.batch {
		r.fatalf("%s is free in the middle of a batch", v.name)
	}
}

// end checks that everybody got everything, and that nothing is left over.
func (r *propertyRun) end() {
	for _, c := range r.clients {
		want := c.script[len(c.script)-1].expect
		if !c.left && len(c.got.b) < len(want) {
			r.different(c, c.got.b, want)
		}
		if !c.left && c.sess.State() != Idle {
			r.fatalf("%s is %v in the end", c.name, c.sess.State())
		}
		if !c.closed {
			r.w.clientGone(c.testClient)
		}
	}
	for _, v := range r.servers {
		if v.srv.Session() != nil || v.orphan || !v.closed && v.pg.status != wire.Idle {
			r.fatalf("%s is not free in the end", v.name)
		}
	}
	if n := r.w.shared.Len(); n != 0 {
		r.fatalf("%d statements are held by nobody", n)
	}
}

// logLine is put into words only when the run fails.
type logLine struct {
	format string
	args   []any
}

func (r *propertyRun) say(format string, args ...any) {
	r.lines = append(r.lines, logLine{format, args})
}

func (r *propertyRun) different(c *propertyClient, got, want []byte) {
	x, rest := describeFrames(got, true)
	y, _ := describeFrames(want, true)
	r.fatalf("%s\nwant %s\ngot  %s +%d", c.name, y, x, len(rest))
}

func (r *propertyRun) fatalf(format string, args ...any) {
	const last = 600
	var log strings.Builder
	for _, line := range r.lines[max(0, len(r.lines)-last):] {
		fmt.Fprintf(&log, line.format+"\n", line.args...)
	}
	r.rt.Fatalf("%s\n%s", fmt.Sprintf(format, args...), log.String())
}
