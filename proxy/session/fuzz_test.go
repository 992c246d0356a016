package session

import "testing"

// FuzzSession brings arbitrary bytes from both sides, cut anywhere, with everything else that can happen in between. There
// must be no panic, no server released that is not free, and nothing kept that grows with what comes.
func FuzzSession(f *testing.F) {
	for _, seed := range [][2]string{
		{`Q "select 1"`, `T D C "SELECT 1" Z I`},
		{`P a "select 1" B "" a D S a E S`, `1 2 t T D C "SELECT 1" Z I`},
		{`P "" "select 1" B "" "" E S C S a C S pgtier_1 S`, `1 2 D C "SELECT 1" Z I 3 Z I`},
		{`Q "copy t from stdin" d "1" S c Q "select 1"`, `G E 22P02 Z I Z I T D C "SELECT 1" Z I`},
		{`Q "copy t to stdout"`, `H d "1" c C "COPY 1" Z I`},
		{`Q "set datestyle to 'german'" Q "deallocate all" Q "discard all"`, `C "SET" S DateStyle "German" Z I C "DEALLOCATE ALL" Z I C "DISCARD ALL" Z I`},
		{`Q "begin" F X`, `C "BEGIN" Z T V Z T FATAL 57P01`},
		{`Q "listen a" P x "execute a" P x "selec" S`, `C "LISTEN" A Z I 1 E 42601 Z I N`},
	} {
		for _, cuts := range []string{"\x00\xff", "\x03\x05\x07\x10\x12\x14\x03\x05", "\xf1\x20\xf2\x21\xf3\xf4"} {
			f.Add(parseFrames(f, seed[0], false), parseFrames(f, seed[1], true), []byte(cuts))
		}
	}
	f.Fuzz(func(t *testing.T, client, server, cuts []byte) {
		z := &fuzzRun{w: newWorld(t), client: client, server: server}
		z.c = z.w.client("c1", clientOptions{prepared: 2, session: len(cuts) > 0 && cuts[0] == 0x42, reject: len(cuts) > 0 && cuts[0] == 0x43})
		z.w.welcome(z.c, z.w.server("first", nil))
		for _, what := range cuts {
			z.next(what)
		}
		z.say(len(z.client), len(z.server))
		if n := len(z.c.stash); n > maxNames+wholeFrame {
			t.Errorf("%d bytes of the client's are kept", n)
		}
		if !z.c.closed {
			z.w.clientGone(z.c)
		}
		if n := z.w.shared.Len(); n != 0 {
			t.Errorf("%d statements are held by nobody", n)
		}
	})
}

type fuzzRun struct {
	w              *world
	c              *testClient
	v              *testServer
	client, server []byte
}

// next lets one thing happen.
func (z *fuzzRun) next(what byte) {
	switch what {
	case 0xf0:
		z.w.event(z.c, (*Session).Cancel)
	case 0xf1:
		z.w.event(z.c, (*Session).Drain)
	case 0xf2:
		z.w.now += int64(1e12)
	case 0xf3:
		if z.v != nil && !z.v.closed {
			z.w.serverGone(z.v)
		}
	case 0xf4:
		if !z.c.closed {
			z.w.clientGone(z.c)
		}
	default:
		if what&0x80 == 0 {
			z.say(int(what), 0)
		} else {
			z.say(0, int(what&0x7f))
		}
	}
}

// say brings so many bytes of either side, and grants a server to a client that waits.
func (z *fuzzRun) say(client, server int) {
	if n := min(client, len(z.client)); !z.c.closed {
		z.c.sent = append(z.c.sent, z.client[:n]...)
		z.client = z.client[n:]
		z.w.readClient(z.c)
	}
	for i := 0; z.c.sess.State() == Waiting && i < 100; i++ {
		if z.v == nil || z.v.closed || z.v.orphan || z.v.srv.Session() != nil {
			z.v = z.w.server("s1", nil)
		}
		z.w.grant(z.c, z.v)
	}
	if n := min(server, len(z.server)); z.v != nil && !z.v.closed {
		z.v.sent = append(z.v.sent, z.server[:n]...)
		z.server = z.server[n:]
		z.w.readServer(z.v)
	}
}

// FuzzSettings quotes arbitrary settings into SQL: whatever they hold, the SQL must set these and nothing else.
func FuzzSettings(f *testing.F) {
	f.Add("application_name", "it's", "x")
	f.Add("search_path", `a\'; drop table t; --`, "")
	f.Add("DateStyle", "\x00", "German")
	f.Add("x.y", "café", `\`)
	f.Fuzz(func(t *testing.T, name, value, before string) {
		to, e := NewSettings([]Setting{{name, value}})
		from, e2 := NewSettings([]Setting{{name, before}, {"other", before}})
		if e != nil || e2 != nil {
			return
		}
		sql := appendChange(nil, from, to)
		text := textOf(sql[5:])
		if len(text)+6 != len(sql) {
			t.Fatalf("a zero byte in %q", sql)
		}
		if n := statementsIn(string(text)); n != len(from.Map()) && n != len(from.Map())-1 {
			t.Errorf("%d statements in %s", n, text)
		}
	})
}

// statementsIn counts statements with a lexer as simple as it can be: outside literals and quoted names.
func statementsIn(sql string) (n int) {
	var quote byte
	escapes := false
	for i := 0; i < len(sql); i++ {
		switch c := sql[i]; {
		case quote == 0 && (c == '\'' || c == '"'):
			quote, escapes = c, c == '\'' && i > 0 && sql[i-1] == 'E'
		case quote != 0 && escapes && c == '\\':
			i++
		case quote == c:
			quote = 0
		case quote == 0 && c == ';':
			n++
		}
	}
	return n
}
