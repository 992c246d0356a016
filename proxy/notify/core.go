package notify

import (
	"slices"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
	"github.com/pgtier/pgtier/proxy/wire"
)

// core is who is subscribed to what, and what the server has been asked. It is pure: each event appends to out what follows
// from it, and take hands that over.
type core struct {
	channels map[string]*channel
	members  map[Listener]*member
	pending  []command    // sent and not answered, oldest first
	failed   *pgerr.Error // the server's answer to the oldest of them, until its ReadyForQuery
	out      output
}

// channel is one that somebody is subscribed to.
type channel struct {
	name   string
	active bool // the server has confirmed LISTEN
	subs   set  // in the order in which they came, more or less
}

// member is a listener with a subscription.
type member struct {
	channels map[string]bool // its channels; true when it has been told that they are listened to
}

// told reports whether it relies on the hub.
func (m *member) told() bool {
	for _, yes := range m.channels {
		if yes {
			return true
		}
	}
	return false
}

// command is LISTEN of a channel, or something whose answer does not matter.
type command struct{ of *channel }

// output is what follows from events: bytes for the server, calls for listeners.
type output struct {
	send    []byte
	answers []answer
	heard   map[Listener][][]byte
	order   []Listener // those in heard
	lost    []Listener
}

type answer struct {
	to      Listener
	channel string
	err     *pgerr.Error
}

// newCore returns a core whose first words to the server are who is there.
func newCore() core {
	c := core{channels: make(map[string]*channel), members: make(map[Listener]*member)}
	c.ask("SET application_name TO 'pgtier listener'", nil)
	return c
}

// take returns what has followed from events since the last take.
func (c *core) take() output {
	out := c.out
	c.out = output{}
	return out
}

// empty reports whether nobody is subscribed to anything.
func (c *core) empty() bool { return len(c.members) == 0 }

func (c *core) subscribe(l Listener, name string) {
	m := c.members[l]
	if m == nil {
		m = &member{channels: make(map[string]bool)}
		c.members[l] = m
	}
	ch := c.channels[name]
	if ch == nil {
		ch = &channel{name: name}
		c.channels[name] = ch
		c.ask("LISTEN "+quoted(name), ch)
	}
	ch.subs.add(l)
	m.channels[name] = false
	if ch.active {
		c.tell(l, m, name)
	}
}

// tell confirms a subscription.
func (c *core) tell(l Listener, m *member, name string) {
	m.channels[name] = true
	c.out.answers = append(c.out.answers, answer{to: l, channel: name})
}

func (c *core) unsubscribe(l Listener, name string) {
	m := c.members[l]
	if m == nil {
		return
	}
	if _, ok := m.channels[name]; !ok {
		return
	}
	delete(m.channels, name)
	if len(m.channels) == 0 {
		delete(c.members, l)
	}
	ch := c.channels[name]
	ch.subs.remove(l)
	if len(ch.subs.list) == 0 {
		delete(c.channels, name)
		c.ask("UNLISTEN "+quoted(name), nil)
	}
}

func (c *core) leave(l Listener) {
	m := c.members[l]
	if m == nil {
		return
	}
	names := make([]string, 0, len(m.channels))
	for name := range m.channels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c.unsubscribe(l, name)
	}
}

// ask sends a command.
func (c *core) ask(sql string, of *channel) {
	c.out.send = wire.AppendQuery(c.out.send, sql)
	c.pending = append(c.pending, command{of})
}

// refused is called when the server answers the oldest command with an error.
func (c *core) refused(e *pgerr.Error) { c.failed = e }

// answered is called at ReadyForQuery. It reports false when nothing was asked.
func (c *core) answered() (ok bool) {
	if len(c.pending) == 0 {
		return false
	}
	ch, e := c.pending[0].of, c.failed
	c.pending, c.failed = slices.Delete(c.pending, 0, 1), nil
	switch {
	case ch == nil || c.channels[ch.name] != ch: // nobody waits for it any more
	case e != nil:
		c.giveUp(ch, e)
	default:
		ch.active = true
		for _, l := range ch.subs.list {
			c.tell(l, c.members[l], ch.name)
		}
	}
	return true
}

// giveUp ends the subscriptions to a channel that the server will not listen to.
func (c *core) giveUp(ch *channel, e *pgerr.Error) {
	delete(c.channels, ch.name)
	for _, l := range ch.subs.list {
		m := c.members[l]
		delete(m.channels, ch.name)
		if len(m.channels) == 0 {
			delete(c.members, l)
		}
		c.out.answers = append(c.out.answers, answer{l, ch.name, e})
	}
}

// notified is called for each notification. It keeps frame.
func (c *core) notified(name []byte, frame []byte) {
	ch := c.channels[string(name)]
	if ch == nil {
		return // UNLISTEN is on its way
	}
	if c.out.heard == nil {
		c.out.heard = make(map[Listener][][]byte)
	}
	for _, l := range ch.subs.list {
		if c.out.heard[l] == nil {
			c.out.order = append(c.out.order, l)
		}
		c.out.heard[l] = append(c.out.heard[l], frame)
	}
}

// ended is called when the connection has gone, or was never made. Whoever was told that it is listened to has lost that;
// the others are told why it is not.
func (c *core) ended(why *pgerr.Error) {
	names := make([]string, 0, len(c.channels))
	for name := range c.channels {
		names = append(names, name)
	}
	slices.Sort(names)
	var all set
	for _, name := range names {
		for _, l := range c.channels[name].subs.list {
			if c.members[l].told() {
				all.add(l)
			} else {
				c.out.answers = append(c.out.answers, answer{l, name, why})
			}
		}
	}
	c.out.lost = append(c.out.lost, all.list...)
	c.channels, c.members = make(map[string]*channel), make(map[Listener]*member)
	c.pending, c.failed = nil, nil
}

// set is a set of listeners that can be walked fast.
type set struct {
	list []Listener
	at   map[Listener]int
}

func (s *set) add(l Listener) {
	if _, ok := s.at[l]; ok {
		return
	}
	if s.at == nil {
		s.at = make(map[Listener]int)
	}
	s.at[l] = len(s.list)
	s.list = append(s.list, l)
}

func (s *set) remove(l Listener) {
	i, ok := s.at[l]
	if !ok {
		return
	}
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	s.at[s.list[i]] = i
	s.list[last] = nil
	s.list = s.list[:last]
	delete(s.at, l)
}

func quoted(name string) string { return string(sqlscan.QuoteIdent(nil, name)) }
