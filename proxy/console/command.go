package console

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// command is one command, ready to be carried out. Of show, act and local one is set, or none: then nothing is done.
type command struct {
	tag  string // of CommandComplete
	text string // for the log
	show *table
	act  func(context.Context, Daemon) (tag string, err error)

	local func(*Session) // concerns the session only
}

// commandOf finds the command that words, at least one, are.
func commandOf(words []word) (*command, *pgerr.Error) {
	for _, k := range keywords {
		if words[0].is(k.word) {
			return k.read(words[1:])
		}
	}
	if c := politeness(words); c != nil {
		return c, nil
	}
	return nil, noCommand(words[0].text)
}

// keywords are the first words of commands.
var keywords = []struct {
	word string
	read func(args []word) (*command, *pgerr.Error)
}{
	{"SHOW", readShow},
	{"PAUSE", readPause},
	{"RESUME", readResume},
	{"KILL", readKill},
	{"RELOAD", readReload},
	{"RECONNECT", readReconnect},
	{"SHUTDOWN", readShutdown},
}

// end refuses words behind the end of a command.
func end(args []word, c *command) (*command, *pgerr.Error) {
	if len(args) > 0 {
		return nil, noCommand(args[0].text)
	}
	return c, nil
}

func readShow(args []word) (*command, *pgerr.Error) {
	if len(args) == 0 {
		return nil, noCommand("")
	}
	t := tables[strings.ToUpper(args[0].text)]
	if t == nil || args[0].quoted {
		return nil, noCommand(args[0].text)
	}
	return end(args[1:], &command{tag: "SHOW", show: t})
}

// Target is what a command is about: a tier of a database, all tiers of a database, or, when Database is empty, everything.
type Target struct{ Database, Tier string }

// String is "everything", "EPMT" or "EPMT/ro".
func (t Target) String() string {
	switch {
	case t.Database == "":
		return "everything"
	case t.Tier == "":
		return t.Database
	}
	return t.Database + "/" + t.Tier
}

// readTarget reads "", "db" or "db/tier".
func readTarget(args []word) (t Target, rest []word, _ *pgerr.Error) {
	if len(args) == 0 {
		return t, nil, nil
	}
	parts := args[0].parts
	if len(parts) > 2 || parts[0] == "" || len(parts) == 2 && parts[1] == "" {
		return t, nil, noCommand(args[0].text)
	}
	t.Database = parts[0]
	if len(parts) == 2 {
		t.Tier = parts[1]
	}
	return t, args[1:], nil
}

func readPause(args []word) (*command, *pgerr.Error) {
	target, rest, err := readTarget(args)
	if err != nil {
		return nil, err
	}
	return end(rest, acting("PAUSE", "pause "+target.String(), func(ctx context.Context, d Daemon) error { return d.Pause(ctx, target) }))
}

func readResume(args []word) (*command, *pgerr.Error) {
	target, rest, err := readTarget(args)
	if err != nil {
		return nil, err
	}
	return end(rest, acting("RESUME", "resume "+target.String(), func(_ context.Context, d Daemon) error { return d.Resume(target) }))
}

// acting is a command whose tag is always the same.
func acting(tag, text string, act func(context.Context, Daemon) error) *command {
	return &command{tag: tag, text: text, act: func(ctx context.Context, d Daemon) (string, error) { return tag, act(ctx, d) }}
}

// readKill reads "KILL id" and "KILL IDENTITY name".
func readKill(args []word) (*command, *pgerr.Error) {
	switch {
	case len(args) == 0:
		return nil, noCommand("")
	case args[0].is("IDENTITY") && len(args) == 1:
		return nil, noCommand("")
	case args[0].is("IDENTITY"):
		name := args[1].text
		return end(args[2:], &command{text: fmt.Sprintf("kill identity %q", name), act: func(_ context.Context, d Daemon) (string, error) {
			n, err := d.KillIdentity(name)
			return fmt.Sprintf("KILL %d", n), err
		}})
	}
	id, err := strconv.ParseUint(args[0].text, 10, 64)
	if err != nil {
		return nil, noCommand(args[0].text)
	}
	return end(args[1:], acting("KILL 1", fmt.Sprintf("kill %d", id), func(_ context.Context, d Daemon) error { return d.Kill(id) }))
}

func readReload(args []word) (*command, *pgerr.Error) {
	return end(args, acting("RELOAD", "reload", func(_ context.Context, d Daemon) error { return d.Reload() }))
}

func readReconnect(args []word) (*command, *pgerr.Error) {
	target, rest, err := readTarget(args)
	if err != nil {
		return nil, err
	}
	return end(rest, acting("RECONNECT", "reconnect "+target.String(), func(_ context.Context, d Daemon) error { return d.Reconnect(target) }))
}

func readShutdown(args []word) (*command, *pgerr.Error) {
	drain := len(args) > 0 && args[0].is("DRAIN")
	text := "shutdown"
	if drain {
		args, text = args[1:], "shutdown drain"
	}
	return end(args, acting("SHUTDOWN", text, func(_ context.Context, d Daemon) error { d.Shutdown(drain); return nil }))
}

// politeness is what drivers send by themselves. It does nothing: there are no transactions and no settings here. nil when
// words are something else.
func politeness(words []word) *command {
	tags := map[string]string{
		"BEGIN": "BEGIN", "START": "START TRANSACTION", "COMMIT": "COMMIT", "END": "COMMIT", "ROLLBACK": "ROLLBACK",
		"ABORT": "ROLLBACK", "SET": "SET", "RESET": "RESET", "DISCARD": "DISCARD ALL", "DEALLOCATE": "DEALLOCATE",
	}
	first := words[0]
	tag := tags[strings.ToUpper(first.text)]
	if tag == "" || first.quoted {
		return nil
	}
	c := &command{tag: tag}
	last := words[len(words)-1]
	switch {
	case tag == "DISCARD ALL", tag == "DEALLOCATE" && last.is("ALL"):
		c.local = func(s *Session) { clear(s.statements) }
	case tag == "DEALLOCATE":
		c.local = func(s *Session) { delete(s.statements, last.text) }
	}
	return c
}
