package config

import (
	"sort"
	"strconv"
	"strings"
)

// node is where one key of the file stands. The TOML library gives values without positions, so this index is made beside
// it, over a text that the library has accepted already: the indexer may therefore be a reader of positions only and leaves
// every judgement of syntax to the library.
type node struct {
	start Pos // "[" of a table's header; otherwise the same as key
	key   Pos // the name itself; of a list's item: the item
	val   Pos // the first byte of the value; of a table with a header: the same as key
	names []string
	table map[string]*node
	items []*node // of a list or an array of tables
}

// child returns the node of a key, nil when there is none. It may be called on nil.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	return n.table[name]
}

// item returns the node of a list's item, nil when there is none. It may be called on nil.
func (n *node) item(i int) *node {
	if n == nil || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}

// enter returns the child called name and makes it, standing at start and key, when there is none.
func (n *node) enter(name string, start, key Pos) *node {
	if c := n.table[name]; c != nil {
		return c
	}
	c := &node{start: start, key: key, val: key}
	if n.table == nil {
		n.table = map[string]*node{}
	}
	n.table[name] = c
	n.names = append(n.names, name)
	return c
}

// part is one piece of a dotted key.
type part struct {
	name string
	at   int
}

// indexer walks over src once. i is the offset of the next byte.
type indexer struct {
	file  string
	src   string
	i     int
	lines []int // the offset of each line's first byte
}

// index returns the positions of every key in src, which is valid TOML without a byte order mark.
func index(file, src string) *node { return newIndexer(file, src).document() }

func newIndexer(file, src string) *indexer {
	x := &indexer{file: file, src: src, lines: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' {
			x.lines = append(x.lines, i+1)
		}
	}
	return x
}

func (x *indexer) pos(offset int) Pos {
	line := sort.SearchInts(x.lines, offset+1)
	return Pos{File: x.file, Line: line, Col: offset - x.lines[line-1] + 1}
}

func (x *indexer) document() *node {
	root := &node{start: x.pos(0), key: x.pos(0), val: x.pos(0)}
	current := root
	for x.skip("\n") {
		start := x.i
		switch {
		case x.accept("[["):
			current = x.header(root, x.keys(), start, true)
			x.accept("]]")
		case x.accept("["):
			current = x.header(root, x.keys(), start, false)
			x.accept("]")
		default:
			if !x.pair(current) {
				return root
			}
		}
	}
	return root
}

// header returns the table that a header opens. Pieces on the way through an array of tables mean its last element.
func (x *indexer) header(root *node, keys []part, start int, array bool) *node {
	n := root
	for i, k := range keys {
		key := x.pos(k.at)
		n = n.enter(k.name, x.pos(start), key)
		last := i == len(keys)-1
		switch {
		case last && array:
			n.items = append(n.items, &node{start: x.pos(start), key: key, val: key})
			n = n.items[len(n.items)-1]
		case last: // it may have been implied by a header further up: its own is the better place
			n.start, n.key, n.val = x.pos(start), key, key
		case len(n.items) > 0:
			n = n.items[len(n.items)-1]
		}
	}
	return n
}

// pair reads key = value into n. It is false when there is none, which ends the walk.
func (x *indexer) pair(n *node) bool {
	keys := x.keys()
	if len(keys) == 0 || !x.accept("=") {
		return false
	}
	for _, k := range keys {
		n = n.enter(k.name, x.pos(k.at), x.pos(k.at))
	}
	x.skip("")
	return x.value(n)
}

// value reads one value into n. It is false when there is none.
func (x *indexer) value(n *node) bool {
	n.val = x.pos(x.i)
	begin := x.i
	switch {
	case x.i == len(x.src):
	case x.src[x.i] == '"' || x.src[x.i] == '\'':
		x.text()
	case x.accept("["):
		for x.skip(",\n") && !x.accept("]") {
			item := &node{start: x.pos(x.i), key: x.pos(x.i)}
			if !x.value(item) {
				return false
			}
			n.items = append(n.items, item)
		}
	case x.accept("{"):
		for x.skip(",\n") && !x.accept("}") {
			if !x.pair(n) {
				return false
			}
		}
	default: // numbers, dates (which may contain a space) and booleans
		x.i += len(x.src[x.i:])
		if end := strings.IndexAny(x.src[begin:], ",]}#\r\n"); end >= 0 {
			x.i = begin + end
		}
	}
	return x.i > begin
}

// keys reads a dotted key.
func (x *indexer) keys() (keys []part) {
	for {
		x.skip("")
		begin := x.i
		if begin == len(x.src) {
			return keys
		}
		var name string
		if c := x.src[begin]; c == '"' || c == '\'' {
			name = x.text()
		} else {
			for x.i < len(x.src) && !strings.ContainsRune(" \t\r\n.=]", rune(x.src[x.i])) {
				x.i++
			}
			if name = x.src[begin:x.i]; name == "" {
				return keys
			}
		}
		keys = append(keys, part{name, begin})
		x.skip("")
		if !x.accept(".") {
			return keys
		}
	}
}

// text reads a string of any of TOML's four kinds and returns what it means as a key, for which only the two single-line
// kinds are allowed.
func (x *indexer) text() string {
	quote := x.src[x.i : x.i+1]
	begin := x.i + 1
	if triple := strings.Repeat(quote, 3); x.accept(triple) {
		x.seek(triple, quote == `"`)
		for x.accept(quote) { // up to two quotes may stand before the closing three
		}
		return ""
	}
	x.i++
	x.seek(quote, quote == `"`)
	inner := x.src[begin:max(begin, x.i-1)]
	if quote == `"` {
		return unescape(inner)
	}
	return inner
}

// seek moves behind the next occurrence of end.
func (x *indexer) seek(end string, escapes bool) {
	for x.i < len(x.src) {
		if escapes && x.src[x.i] == '\\' {
			x.i = min(x.i+2, len(x.src))
			continue
		}
		if x.accept(end) {
			return
		}
		x.i++
	}
}

// skip moves over blanks, over the bytes in more, and over comments when more has the newline. It is false at the end.
func (x *indexer) skip(more string) bool {
	for x.i < len(x.src) {
		c := x.src[x.i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
		case strings.IndexByte(more, c) >= 0:
		case c == '#' && strings.Contains(more, "\n"):
			end := strings.IndexByte(x.src[x.i:], '\n')
			if end < 0 {
				x.i = len(x.src)
				return false
			}
			x.i += end
		default:
			return true
		}
		x.i++
	}
	return false
}

func (x *indexer) accept(s string) bool {
	if !strings.HasPrefix(x.src[x.i:], s) {
		return false
	}
	x.i += len(s)
	return true
}

// unescape undoes the escapes of a basic string (TOML 1.1, "String").
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	simple := map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		n := digits[s[i]]
		if n > 0 && i+n < len(s) {
			if r, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32); err == nil {
				b.WriteRune(rune(r))
				i += n
				continue
			}
		}
		if c, ok := simple[s[i]]; ok {
			b.WriteByte(c)
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
