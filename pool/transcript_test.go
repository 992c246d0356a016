package pool

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/transcript"
)

// TestTranscripts plays testdata/*.txt; what follows from a command are the actions.
//
//	pool P [db=D] [tier=T] [of=IDENTITY] [size=N] [min=N] [reserve=N] [after=T] [idle=T] [life=T] [retry=T] [server=S] [perserver=N] [perdb=N] [pertier=N] [peridentity=N] [paused=yes]
//	resize P ...                     the same settings; those not named keep their value
//	acquire W IDENTITY [loop=N] [pool=P]
//	cancel W
//	opened P C [loop=N]
//	failed P TEXT [definite]
//	release C                        it carries the identity of the waiter that had it
//	discard C | lost C
//	tick [+T]                        time passes, then a Tick
//	wait +T                          time passes, no event
//	next                             when the next Tick is useful, from now
//	pause P | resume P
//	paused W                         how long its pool was paused while it waited
//	drain
//	stats
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) func(string) []string { return newPlayer(t).line })
}

// player runs one transcript.
type player struct {
	t        *testing.T
	set      *Set
	now      int64
	pools    map[string]*Pool
	settings map[string]Settings
	first    string // the pool that commands mean when they name none
	waiters  map[string]*Waiter
	conns    map[string]*Conn
}

func newPlayer(t *testing.T) *player {
	return &player{
		t: t, set: NewSet(), now: int64(time.Hour), pools: map[string]*Pool{}, settings: map[string]Settings{},
		waiters: map[string]*Waiter{}, conns: map[string]*Conn{},
	}
}

// line carries out one line, and checks what must hold at any time.
func (p *player) line(line string) []string {
	answer := p.command(strings.Fields(line))
	check(p.t, p.set.core)
	return answer
}

// command carries out one line and returns its answer.
func (p *player) command(f []string) (answer []string) {
	defer func() {
		if r := recover(); r != nil {
			answer = []string{fmt.Sprint("panic: ", r)}
		}
	}()
	var ev Event
	switch f[0] {
	case "pool":
		return p.pool(f[1], f[2:])
	case "wait":
		p.pass(f[1])
		return nil
	case "next":
		return []string{p.next()}
	case "stats":
		return p.stats()
	case "paused":
		d, _ := p.set.PausedFor(p.waiters[f[1]], p.now)
		return []string{d.String()}
	case "acquire":
		ev = p.acquire(f)
	case "cancel":
		ev = Event{Kind: Cancel, Waiter: p.waiters[f[1]]}
	case "opened":
		c := &Conn{Owner: f[2], Loop: number(option(f[3:], "loop", "0"))}
		p.conns[f[2]] = c
		ev = Event{Kind: Opened, Pool: p.pools[f[1]], Conn: c}
	case "failed":
		ev = Event{Kind: OpenFailed, Pool: p.pools[f[1]], Err: errors.New(f[2]), Definite: len(f) > 3}
	case "release":
		ev = Event{Kind: Released, Conn: p.conns[f[1]]}
	case "discard":
		ev = Event{Kind: Discarded, Conn: p.conns[f[1]]}
	case "lost":
		ev = Event{Kind: Lost, Conn: p.conns[f[1]]}
	case "tick":
		if len(f) > 1 {
			p.pass(f[1])
		}
		ev = Event{Kind: Tick}
	case "resize":
		p.settings[f[1]] = parse(p.settings[f[1]], f[2:])
		ev = Event{Kind: Resize, Pool: p.pools[f[1]], Settings: p.settings[f[1]]}
	case "retire":
		ev = Event{Kind: Retire, Pool: p.pools[f[1]]}
	case "pause":
		ev = Event{Kind: Pause, Pool: p.pools[f[1]]}
	case "resume":
		ev = Event{Kind: Resume, Pool: p.pools[f[1]]}
	case "drain":
		ev = Event{Kind: Drain}
	default:
		p.t.Fatalf("unknown command %q", f)
	}
	for _, a := range p.set.Step(p.now, ev, nil) {
		answer = append(answer, p.action(a))
	}
	return answer
}

// action shows an action and does what a session would: the connection moves and carries the identity from now on.
func (p *player) action(a Action) string {
	switch a.Kind {
	case Grant:
		text := fmt.Sprintf("grant %v to %v", a.Conn.Owner, a.Waiter.Owner)
		if a.Conn.Loop != a.Waiter.Loop {
			text += fmt.Sprintf(" from loop %d to %d", a.Conn.Loop, a.Waiter.Loop)
		}
		if a.Conn.Identity != "" && a.Conn.Identity != a.Waiter.Identity {
			text += " dirty from " + a.Conn.Identity
		}
		a.Conn.Loop, a.Conn.Identity = a.Waiter.Loop, a.Waiter.Identity
		return text
	case Reject:
		return fmt.Sprintf("reject %v: %v", a.Waiter.Owner, a.Err)
	case Quiet:
		return "quiet " + p.name(a.Pool)
	case Open:
		return fmt.Sprintf("open %s loop=%d", p.name(a.Pool), a.Loop)
	default:
		return fmt.Sprintf("close %v", a.Conn.Owner)
	}
}

func (p *player) name(of *Pool) string {
	for name, x := range p.pools {
		if x == of {
			return name
		}
	}
	return "?"
}

func (p *player) pool(name string, f []string) []string {
	s := parse(Settings{Size: 1}, f)
	key := Key{Database: option(f, "db", "EPMT"), Tier: option(f, "tier", name), Identity: option(f, "of", "")}
	if len(p.pools) == 0 {
		p.first = name
	}
	p.settings[name] = s
	p.pools[name] = p.set.Pool(key, s)
	return nil
}

func (p *player) acquire(f []string) Event {
	w := p.waiters[f[1]]
	if w == nil {
		w = &Waiter{Owner: f[1]}
		p.waiters[f[1]] = w
	}
	if w.pool == nil {
		w.Paused = 0
		w.Identity, w.Loop = f[2], number(option(f[3:], "loop", "0"))
	}
	return Event{Kind: Acquire, Pool: p.pools[option(f[3:], "pool", p.first)], Waiter: w}
}

func (p *player) pass(text string) {
	d, err := time.ParseDuration(strings.TrimPrefix(text, "+"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.now += int64(d)
}

func (p *player) next() string {
	switch at := p.set.Next(); {
	case at == 0:
		return "never"
	case at <= p.now:
		return "now"
	default:
		return time.Duration(at - p.now).String()
	}
}

func (p *player) stats() (lines []string) {
	for _, s := range p.set.Stats() {
		if s.Paused {
			lines = append(lines, s.Key.Tier+" is paused")
		}
		lines = append(lines, fmt.Sprintf("%s size=%d+%d idle=%d leased=%d opening=%d waiters=%d oldest=%v retry=%v err=%v",
			s.Key.Tier, s.Size, s.Reserve, s.Idle, s.Leased, s.Opening, s.Waiters, s.OldestWait, s.RetryIn, s.LastError))
	}
	return lines
}

// parse applies "key=value" words to s.
func parse(s Settings, f []string) Settings {
	for _, word := range f {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		d, _ := time.ParseDuration(value)
		switch key {
		case "size":
			s.Size = n
		case "min":
			s.Min = n
		case "reserve":
			s.Reserve = n
		case "after":
			s.ReserveAfter = d
		case "idle":
			s.ServerIdle = d
		case "life":
			s.ServerLifetime = d
		case "retry":
			s.LoginRetry = d
		case "server":
			s.Server = value
		case "perserver":
			s.PerServer = n
		case "perdb":
			s.PerDatabase = n
		case "paused":
			s.Paused = value == "yes"
		case "pertier":
			s.PerTier = n
		case "peridentity":
			s.PerIdentity = n
		case "db", "tier", "of":
		default:
			panic("unknown setting " + key)
		}
	}
	return s
}

func option(f []string, key, otherwise string) string {
	for _, word := range f {
		if k, v, ok := strings.Cut(word, "="); ok && k == key {
			return v
		}
	}
	return otherwise
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
