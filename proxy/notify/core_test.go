package notify

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/transcript"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// name is a listener of a transcript.
type name string

func (name) Answered(string, *pgerr.Error) {}
func (name) Heard([][]byte)                {}
func (name) Lost()                         {}

// TestTranscripts plays testdata/*.txt. A command is an event:
//
//	new                     a core at its start
//	L +channel | L -channel | L leaves
//	ok | error CODE TEXT    the server's answer to the oldest command
//	notify channel payload [channel payload]...
//	lost TEXT
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) func(string) []string {
		var c core
		return func(line string) []string {
			if line == "new" {
				c = newCore()
			} else {
				event(t, &c, strings.Fields(line))
			}
			out := c.take()
			check(t, &c, line)
			return describe(&out)
		}
	})
}

func event(t *testing.T, c *core, f []string) {
	var last error
	switch {
	case f[0] == "ok":
		frames := wire.AppendReadyForQuery(wire.AppendCommandComplete(nil, "LISTEN"), wire.Idle)
		feed(t, c, frames, &last)
	case f[0] == "error":
		frames := pgerr.New(f[1], "%s", strings.Join(f[2:], " ")).Append(nil)
		feed(t, c, wire.AppendReadyForQuery(frames, wire.Idle), &last)
	case f[0] == "notify":
		var frames []byte
		for i := 1; i < len(f); i += 2 {
			frames = append(frames, notification(f[i], f[i+1])...)
		}
		feed(t, c, frames, &last)
	case f[0] == "lost":
		c.ended(pgerr.New(pgerr.ConnectionDied, "%s", strings.Join(f[1:], " ")))
	case f[1] == "leaves":
		c.leave(name(f[0]))
	case f[1][0] == '+':
		c.subscribe(name(f[0]), f[1][1:])
	default:
		c.unsubscribe(name(f[0]), f[1][1:])
	}
}

// feed gives the core what the server sends, first cut off everywhere: nothing may follow from a part of a frame.
func feed(t *testing.T, c *core, b []byte, last *error) {
	for len(b) > 0 {
		_, size, _ := wire.Header(b)
		if used, err := c.frames(b[:size-1], last); used != 0 || err != nil {
			t.Fatalf("a part of a frame: used %d, %v", used, err)
		}
		if used, err := c.frames(b[:size], last); used != size || err != nil {
			t.Fatalf("a frame of %d bytes: used %d, %v", size, used, err)
		}
		b = b[size:]
	}
}

func notification(channel, payload string) []byte {
	b, at := wire.Begin(nil, wire.NotificationResponse)
	b = append(append(b, 0, 0, 0, 7), channel...)
	b = append(append(b, 0), payload...)
	return wire.End(append(b, 0), at)
}

func describe(o *output) (lines []string) {
	for b := o.send; len(b) > 0; {
		_, size, _ := wire.Header(b)
		lines = append(lines, "send "+string(b[wire.HeaderSize:size-1]))
		b = b[size:]
	}
	for _, a := range o.answers {
		line := fmt.Sprint(a.to, " listens to ", a.channel)
		if a.err != nil {
			line = fmt.Sprint(a.to, " does not listen to ", a.channel, ": ", a.err)
		}
		lines = append(lines, line)
	}
	for _, l := range o.order {
		var all []string
		for _, f := range o.heard[l] {
			channel, rest, _ := wire.CString(f[wire.HeaderSize+4:])
			payload, _, _ := wire.CString(rest)
			all = append(all, string(channel)+" "+string(payload))
		}
		lines = append(lines, fmt.Sprint(l, " hears ", strings.Join(all, ", ")))
	}
	for _, l := range o.lost {
		lines = append(lines, fmt.Sprint(l, " has lost it"))
	}
	return lines
}

// check looks at what must hold between two events: both indexes say the same, and nobody is in them for nothing.
func check(t *testing.T, c *core, line string) {
	var byChannel, byMember []string
	for name, ch := range c.channels {
		if len(ch.subs.list) == 0 || len(ch.subs.list) != len(ch.subs.at) {
			t.Errorf("%s: channel %s has %d subscribers, %d in the index", line, name, len(ch.subs.list), len(ch.subs.at))
		}
		for i, l := range ch.subs.list {
			if ch.subs.at[l] != i {
				t.Errorf("%s: channel %s: %v is not where it should be", line, name, l)
			}
			byChannel = append(byChannel, fmt.Sprint(l, " ", name, " ", ch.active))
		}
	}
	for l, m := range c.members {
		for name, told := range m.channels {
			byMember = append(byMember, fmt.Sprint(l, " ", name, " ", told))
		}
		if len(m.channels) == 0 {
			t.Errorf("%s: %v is a member without channels", line, l)
		}
	}
	sort.Strings(byChannel)
	sort.Strings(byMember)
	if strings.Join(byChannel, ",") != strings.Join(byMember, ",") {
		t.Errorf("%s:\n%q\n%q", line, byChannel, byMember)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(notification("a", "x"))
	f.Add(wire.AppendReadyForQuery(wire.AppendCommandComplete(nil, "SET"), wire.Idle))
	f.Add(pgerr.Fatal(pgerr.AdminShutdown, "bye").Append(nil))
	f.Add([]byte("A\x00\x00\x00\x08\x00\x00\x00\x00"))
	f.Add([]byte("E\x00\x00\x00\x06SX"))
	f.Add([]byte("Z\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newCore()
		c.subscribe(name("c1"), "a")
		c.take()
		var last error
		used, err := c.frames(b, &last)
		if used < 0 || used > len(b) {
			t.Fatalf("used %d of %d", used, len(b))
		}
		if _, size, ok := wire.Header(append(b[used:len(b):len(b)], 0, 0, 0, 0, 0)); err == nil && len(b)-used >= wire.HeaderSize && ok && size <= len(b)-used {
			t.Fatal("a whole frame was left")
		}
		c.ended(errLost)
		check(t, &c, "fuzz")
	})
}
