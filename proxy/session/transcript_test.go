package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/transcript"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// TestTranscripts plays testdata/*.txt. C is a client's name, S a server's:
//
//	server S [parameter=value]...
//	client C [identity=I] [session] [reuse] [reject] [guard] [label] [identity_setting] [hub] [shared] [fresh] [at=S] [query_wait=T]
//	         [notify=T] [login=T] [parameter=value]...
//	          at: welcomed by S; fresh: like nobody before, so that a server has to be asked what it makes of C's settings
//	          shared: of a shared tier, and welcomed; its role is called like its identity
//	C: FRAMES            the client sends (frames_test.go has the language)
//	C@S: FRAMES          the same, and S is granted whenever it asks for a server
//	S: FRAMES            the server sends
//	grant C S
//	reject C CODE "text"
//	gone C|S             the socket has ended
//	cancel C | drain C | kill C
//	pause | resume       of the pool, for who waits already
//	pass T               time passes, and what is due expires
//	hub C channel [CODE] the hub listens to the channel for C, or cannot
//	heard C channel payload... | lost C
//	                     the hub has notifications for C, with #n to say that n bytes wait in C's socket, or has gone
//	full S               fill S with as many statements as it keeps
//	prepared             how many statements clients share
//
// What follows, in the order in which a loop would do it: "S: FRAMES" and "C: FRAMES" one write each, then the effects, then
// the state when it changed.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) func(string) []string { return newPlayer(t).line })
}

// player runs one transcript.
type player struct {
	t       *testing.T
	w       *world
	clients map[string]*testClient
	servers map[string]*testServer
	rest    map[string][]byte // what half left out
	lines   []string
	auto    *testServer // granted to whoever asks
	chunk   chunking
	index   int // of the present command

	sentBytes int // by the present command

	pausedAt int64         // since when the pool is paused; 0 = it is not
	paused   time.Duration // how long it was
}

func newPlayer(t *testing.T) *player {
	p := &player{t: t, w: newWorld(t), clients: map[string]*testClient{}, servers: map[string]*testServer{}, rest: map[string][]byte{}}
	p.w.log = func(format string, args ...any) { p.lines = append(p.lines, fmt.Sprintf(format, args...)) }
	return p
}

// line carries out one line and says what followed.
func (p *player) line(line string) []string {
	p.lines = p.lines[:0]
	p.run(line)
	return p.lines
}

// run carries out one line.
func (p *player) run(line string) {
	defer func() {
		if r := recover(); r != nil {
			p.t.Fatalf("%s: %v", line, r)
		}
	}()
	p.index++
	if who, frames, ok := strings.Cut(line, ": "); ok && !strings.Contains(who, " ") {
		p.send(who, frames)
		return
	}
	tokens, err := tokenize(line)
	if err != nil {
		p.t.Fatal(err)
	}
	var f []string
	for _, tok := range tokens {
		f = append(f, tok.text)
	}
	p.command(f)
}

func (p *player) command(f []string) {
	switch f[0] {
	case "server":
		p.servers[f[1]] = p.w.server(f[1], params(f[2:]))
	case "client":
		p.client(f[1], f[2:])
	case "grant":
		c, v := p.clients[f[1]], p.servers[f[2]]
		p.grant(c, v)
		p.auto = v
		p.regrant(c)
		p.auto = nil
	case "reject":
		p.w.event(p.clients[f[1]], func(s *Session, st *Step) { s.Rejected(st, pgerr.New(f[2], "%s", f[3])) })
	case "gone":
		if c := p.clients[f[1]]; c != nil {
			p.w.clientGone(c)
		} else {
			p.w.serverGone(p.servers[f[1]])
		}
	case "cancel":
		p.w.event(p.clients[f[1]], (*Session).Cancel)
	case "drain":
		p.w.event(p.clients[f[1]], (*Session).Drain)
	case "kill":
		p.w.kill(p.clients[f[1]])
	case "hub", "heard", "lost":
		p.hub(p.clients[f[1]], f)
	case "pause":
		p.pausedAt, p.paused = p.w.now, 0
	case "resume":
		p.pausedAt, p.paused = 0, time.Duration(p.w.now-p.pausedAt)
	case "pass":
		p.pass(duration(f[1]))
	case "full":
		for i := range defaultPrepared {
			p.servers[f[1]].srv.prepared.add(&statement{name: "old" + strconv.Itoa(i)})
		}
	case "prepared":
		p.w.say("%d", p.w.shared.Len())
	default:
		p.t.Fatal("unknown command ", f)
	}
}

// send lets a client or a server send frames, cut as p.chunk says.
func (p *player) send(who, text string) {
	who, at, _ := strings.Cut(who, "@")
	tokens, err := tokenize(text)
	if err != nil {
		p.t.Fatal(err)
	}
	c, v := p.clients[who], p.servers[who]
	fp := frameParser{tokens: tokens, fromServer: v != nil, rest: p.rest[who]}
	b := fp.frames()
	p.rest[who] = fp.rest
	p.auto = p.servers[at]
	if p.chunk.size > 0 && v != nil && v.srv.Session() != nil {
		defer p.again(v.srv.Session().Waiter.Owner.(*testClient), v)
	}
	p.sentBytes = len(b)
	for _, piece := range p.chunk.cut(b) {
		if c != nil {
			c.sent = append(c.sent, piece...)
			p.w.readClient(c)
			p.regrant(c)
			continue
		}
		v.sent = append(v.sent, piece...)
		p.w.readServer(v)
		for _, name := range sortedKeys(p.clients) {
			p.regrant(p.clients[name])
		}
	}
	p.auto = nil
}

// regrant grants what "C@S:" promises, and again what was granted and given back because only a part of a frame was there.
func (p *player) regrant(c *testClient) {
	for p.auto != nil && !p.auto.closed && p.auto.srv.Session() == nil && c.sess.State() == Waiting {
		p.grant(c, p.auto)
	}
}

// again grants v to c once more if c has given it back because only a part of its next frame was there.
func (p *player) again(c *testClient, v *testServer) {
	p.auto = v
	p.regrant(c)
	p.auto = nil
}

func (p *player) grant(c *testClient, v *testServer) {
	if c == nil || v == nil || v.closed || v.srv.Session() != nil {
		p.t.Fatalf("command %d: there is no such server to grant", p.index)
	}
	p.w.grant(c, v)
}

func (p *player) client(name string, words []string) {
	opt := clientOptions{}
	fresh, at := false, ""
	var settings []string
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "identity":
			opt.identity = value
		case "session":
			opt.session = true
		case "reuse":
			opt.session, opt.reuse = true, true
		case "reject":
			opt.reject = true
		case "hub":
			opt.hub = true
		case "guard":
			opt.guard = true
		case "label":
			opt.label = true
		case "identity_setting":
			opt.setting = true
		case "shared":
			opt.shared = true
		case "fresh":
			fresh = true
		case "at":
			at = value
		case "query_wait":
			opt.timeouts.QueryWait = duration(value)
		case "client_idle":
			opt.timeouts.ClientIdle = duration(value)
		case "idle_transaction":
			opt.timeouts.IdleTransaction = duration(value)
		case "notify":
			opt.timeouts.QueryWaitNotify = duration(value)
		case "login":
			opt.timeouts.Login = duration(value)
		case "query":
			opt.timeouts.Query = duration(value)
		case "transaction":
			opt.timeouts.Transaction = duration(value)
		default:
			settings = append(settings, word)
		}
	}
	for name, value := range params(settings) {
		opt.startup = append(opt.startup, Setting{name, value})
	}
	c := p.w.client(name, opt)
	p.clients[name] = c
	switch {
	case opt.shared:
		c.state = c.sess.State()
	case fresh:
		p.w.start(c)
	case at != "":
		p.w.welcome(c, p.servers[at])
	default:
		p.w.welcome(c, p.w.server("welcome", nil))
	}
}

func (p *player) pass(d time.Duration) {
	p.w.now += int64(d)
	for _, name := range sortedKeys(p.clients) {
		if c := p.clients[name]; c.sess.Deadline() != 0 && c.sess.Deadline() <= p.w.now {
			p.w.event(c, func(s *Session, st *Step) {
				st.Usage = Usage{InUse: 2, Size: 2, Paused: p.pausedAt != 0, PausedFor: p.paused}
				if p.pausedAt != 0 {
					st.Usage.PausedFor += time.Duration(p.w.now - p.pausedAt)
				}
				s.Expired(st)
			})
		}
	}
}

func params(words []string) map[string]string {
	m := map[string]string{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		m[key] = value
	}
	return m
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func sortedKeys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
