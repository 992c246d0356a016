package session

import "testing"

// Relaying must not make work for the garbage collector: what a transaction needs is all there already.
func TestNoAllocations(t *testing.T) {
	for _, tt := range []struct {
		name, prepare, client, server string
		session                       bool
	}{
		{name: "simple query", client: `Q "select 1"`, server: `T D C "SELECT 1" Z I`},
		{name: "simple query in session mode", client: `Q "select 1"`, server: `T D C "SELECT 1" Z I`, session: true},
		{name: "transaction", client: `Q "begin" Q "update t set a = 1" Q "commit"`, server: `C "BEGIN" Z T C "UPDATE 1" Z T C "COMMIT" Z I`},
		{name: "unnamed statement", client: `P "" "select 1" B "" "" D P "" E S`, server: `1 2 T D C "SELECT 1" Z I`},
		{name: "named statement", prepare: `P a "select 1" S`, client: `B "" a D P "" E S`, server: `2 T D C "SELECT 1" Z I`},
		{name: "described statement", prepare: `P a "select 1" S`, client: `D S a B "" a E S`, server: `t T 2 D C "SELECT 1" Z I`},
		{name: "error", client: `Q "select 1/0"`, server: `T E 22012 Z I`},
		{name: "copy", client: `Q "copy t from stdin" d "1" c`, server: `G C "COPY 1" Z I`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			v := w.server("s1", nil)
			c := w.client("c1", clientOptions{session: tt.session})
			w.welcome(c, v)
			if tt.prepare != "" {
				relayOnce(t, c.sess, v.srv, parseFrames(t, tt.prepare, false), parseFrames(t, `1 Z I`, true))
			}
			client, server := parseFrames(t, tt.client, false), parseFrames(t, tt.server, true)
			if n := testing.AllocsPerRun(100, func() { relayOnce(t, c.sess, v.srv, client, server) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

var allocStep Step // a loop's

// relayOnce is one lease: the client's bytes and the server's, as a loop would bring them.
func relayOnce(t *testing.T, s *Session, v *Server, client, server []byte) {
	relayAt(t, 1, s, v, client, server)
}

func relayAt(t *testing.T, now int64, s *Session, v *Server, client, server []byte) {
	st := &allocStep
	st.Reset(now, nil)
	if s.State() == Idle {
		s.Wake(st)
		st.Reset(now, client)
		s.Granted(st, v)
	} else {
		st.Reset(now, client)
	}
	if used := s.FromClient(st, client); used != len(client) {
		t.Fatalf("used %d of %d bytes of the client's", used, len(client))
	}
	s.Settle(st)
	st.Reset(now, server)
	if used := v.FromServer(st, server); used != len(server) {
		t.Fatalf("used %d of %d bytes of the server's", used, len(server))
	}
	if s.pooled && s.State() != Idle {
		t.Fatalf("the session is %v", s.State())
	}
}

func parseFrames(t testing.TB, text string, fromServer bool) []byte {
	tokens, err := tokenize(text)
	if err != nil {
		t.Fatal(err)
	}
	p := frameParser{tokens: tokens, fromServer: fromServer}
	return p.frames()
}

func BenchmarkSimpleQuery(b *testing.B) {
	t := &testing.T{}
	w := newWorld(t)
	v := w.server("s1", nil)
	c := w.client("c1", clientOptions{})
	w.welcome(c, v)
	client, server := parseFrames(b, `Q "select 1"`, false), parseFrames(b, `T D C "SELECT 1" Z I`, true)
	b.ReportAllocs()
	for b.Loop() {
		relayOnce(t, c.sess, v.srv, client, server)
	}
}

// A change of identity makes no work for the garbage collector either: what it says is kept for each role.
func TestNoAllocationsToSwitch(t *testing.T) {
	w := newWorld(t)
	v := w.server("s1", map[string]string{"application_name": "", "DateStyle": "ISO, MDY"})
	alice := w.client("c1", clientOptions{shared: true, startup: []Setting{{"application_name", "a"}}})
	bob := w.client("c2", clientOptions{shared: true, identity: "bob"})
	client := parseFrames(t, `P "" "select 1" B "" "" E S`, false)
	confirmed := `1 2 C "DISCARD ALL" 1 2 C "BEGIN" 1 2 C "SET" `
	toAlice := parseFrames(t, confirmed+`1 2 C "SET" 1 2 C "COMMIT" 1 2 D C "SELECT 1" S application_name "a" Z I`, true)
	toBob := parseFrames(t, confirmed+`1 2 C "COMMIT" 1 2 D C "SELECT 1" S application_name "" Z I`, true)
	v.srv.Identity = "bob"
	now := w.now
	if n := testing.AllocsPerRun(100, func() {
		relayAt(t, now, alice.sess, v.srv, client, toAlice)
		relayAt(t, now, bob.sess, v.srv, client, toBob)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
