package session

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/transcript"
	"github.com/pgtier/pgtier/proxy/wire"
)

// chunking says how the bytes of a transcript's commands arrive. The zero value delivers each command's at once.
type chunking struct {
	size int // pieces of this many bytes; 0 = whole
	nth  int // each command's into two, at the n-th place where it is to be cut, if it has so many; 0 = by size
}

// maxCuts bounds the cuts of one command: a long body is cut here and there.
const maxCuts = 300

// step is the distance between the places at which a command of this many bytes is cut.
func step(size int) int {
	if size <= maxCuts {
		return 1
	}
	return size/12 + 1
}

// place is where the n-th cut of a command of this many bytes is; ok is false when it has no more.
func place(n, size int) (at int, ok bool) {
	at = 1 + (n-1)*step(size)
	return at, at < size
}

func (c chunking) cut(b []byte) [][]byte {
	if c.nth > 0 {
		if at, ok := place(c.nth, len(b)); ok {
			return [][]byte{b[:at], b[at:]}
		}
	}
	if c.size == 0 || len(b) == 0 {
		return [][]byte{b}
	}
	size := max(c.size, len(b)/maxCuts)
	var pieces [][]byte
	for ; len(b) > size; b = b[size:] {
		pieces = append(pieces, b[:size])
	}
	return append(pieces, b)
}

// TestChunks plays every transcript again, with the bytes of both directions cut where they would be in a bad network: the
// byte streams that result must be the same, and so must the states after each command.
func TestChunks(t *testing.T) {
	for _, file := range transcript.Files(t) {
		t.Run(transcript.Name(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			commands := transcript.Commands(string(text))
			whole := playChunked(t, commands, chunking{})
			for _, size := range []int{1, 2, 3, 5, 7, 64} {
				compareRuns(t, whole, playChunked(t, commands, chunking{size: size}), fmt.Sprintf("pieces of %d", size))
			}
			// Every place of every command, those of all commands in the same run: one by one they would be thousands of runs.
			for n := 1; slices.ContainsFunc(whole.sizes, func(size int) bool { _, ok := place(n, size); return ok }); n++ {
				compareRuns(t, whole, playChunked(t, commands, chunking{nth: n}), fmt.Sprintf("cut at the place number %d", n))
			}
		})
	}
}

// run is what came of a transcript.
type run struct {
	commands []string
	sizes    []int    // how many bytes each command sent
	states   []string // of everybody, after each command
	streams  map[string][]byte
}

func playChunked(t *testing.T, commands []string, c chunking) *run {
	p := newPlayer(t)
	p.w.log, p.w.limit, p.chunk = nil, c.size, c
	r := &run{commands: commands, streams: map[string][]byte{}}
	for _, line := range commands {
		p.sentBytes = 0
		p.run(line)
		r.sizes = append(r.sizes, p.sentBytes)
		r.states = append(r.states, p.states())
	}
	for name, c := range p.clients {
		r.streams[name] = c.got.b
	}
	for name, v := range p.servers {
		r.streams[name] = v.got.b
	}
	return r
}

// states tells how everybody is.
func (p *player) states() string {
	var words []string
	for _, name := range sortedKeys(p.clients) {
		s := p.clients[name].sess
		word := name + " " + s.State().String() + endOf(s)
		if v := s.Server(); v != nil {
			word += " with " + v.Conn.Owner.(*testServer).name
		}
		words = append(words, word)
	}
	for _, name := range sortedKeys(p.servers) {
		if v := p.servers[name]; v.closed || v.orphan {
			words = append(words, fmt.Sprintf("%s closed=%v orphan=%v", name, v.closed, v.orphan))
		}
	}
	return strings.Join(words, ", ")
}

func compareRuns(t *testing.T, want, got *run, how string) {
	t.Helper()
	for i := range want.states {
		if want.states[i] != got.states[i] {
			t.Fatalf("%s: after %q\nwant %s\ngot  %s", how, want.commands[i], want.states[i], got.states[i])
		}
	}
	for name := range want.streams {
		b, g := unflushed(want.streams[name]), unflushed(got.streams[name])
		if string(b) != string(g) {
			fromServer := name[0] == 'c' // clients are called c1, c2 and so on
			x, _ := describeFrames(b, fromServer)
			y, _ := describeFrames(g, fromServer)
			t.Fatalf("%s: %s\nwant %s\ngot  %s", how, name, x, y)
		}
	}
}

// unflushed leaves out the Flush behind a prefix that is sent when nothing of the client's is complete yet.
func unflushed(b []byte) []byte {
	for _, end := range [][]byte{discardFrames, commitFrames, unnameFrames} {
		b = bytes.ReplaceAll(b, wire.AppendEmpty(slices.Clone(end), wire.Flush), end)
	}
	return b
}
