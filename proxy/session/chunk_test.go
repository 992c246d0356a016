package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chunking says how the bytes of a transcript's commands arrive. The zero value delivers each command's at once.
type chunking struct {
	size    int // pieces of this many bytes; 0 = whole
	command int // only this command's bytes are cut; 0 = every one's
	at      int // into two, here; 0 = by size
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

func (c chunking) cut(command int, b []byte) [][]byte {
	switch {
	case c.command != 0 && c.command != command || len(b) == 0:
		return [][]byte{b}
	case c.at > 0:
		return [][]byte{b[:c.at], b[c.at:]}
	case c.size == 0:
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
	for _, file := range transcripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			commands := commandsOf(string(text))
			whole := playChunked(t, commands, chunking{})
			for _, size := range []int{1, 2, 3, 5, 7, 64} {
				compareRuns(t, whole, playChunked(t, commands, chunking{size: size}), fmt.Sprintf("pieces of %d", size))
			}
			for i, size := range whole.sizes {
				for at := 1; at < size; at += step(size) {
					c := chunking{command: i + 1, at: at}
					compareRuns(t, whole, playChunked(t, commands, c), fmt.Sprintf("%q cut at %d", commands[i], at))
				}
			}
		})
	}
}

func commandsOf(text string) (commands []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != '#' && !strings.HasPrefix(line, "-> ") {
			commands = append(commands, line)
		}
	}
	return commands
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
	for name, b := range want.streams {
		if string(b) != string(got.streams[name]) {
			fromServer := name[0] == 'c' // clients are called c1, c2 and so on
			x, _ := describeFrames(b, fromServer)
			y, _ := describeFrames(got.streams[name], fromServer)
			t.Fatalf("%s: %s\nwant %s\ngot  %s", how, name, x, y)
		}
	}
}
