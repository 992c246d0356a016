package fakepg

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Stage is when a lie is told.
type Stage string

const (
	// AtLogin lies come before the first ReadyForQuery. The client of a proxy must get an error with a SQLSTATE.
	AtLogin Stage = "login"
	// InAnswer lies come instead of the answer to the first query. The client must get an error or lose its connection, and
	// never a complete answer, unless the lie is opaque.
	InAnswer Stage = "answer"
	// WhenIdle lies come unasked after an honest answer. The client that got the answer must notice nothing, and later
	// queries must be answered by this or another connection.
	WhenIdle Stage = "idle"
)

// Lie is a server that misbehaves in one way, in the same way on every connection.
type Lie struct {
	Name    string
	Stage   Stage
	Endless bool // the server falls silent: only a timeout ends it
	Opaque  bool // inside the body of a frame that a relay does not look into: the client may see it
	Steps   []Step
}

// Lies are all lies. They log clients in with SCRAM and the password (except those that are about logging in).
func Lies(password string) []Lie {
	var lies []Lie
	for _, group := range [][]Lie{loginLies(password), frameLies(), answerLies(), idleLies()} {
		lies = append(lies, group...)
	}
	for i, lie := range lies {
		if lie.Stage != AtLogin {
			lies[i].Steps = append([]Step{LoginSCRAM(Scram{Password: password}), Welcome(), Expect('Q')}, lie.Steps...)
		}
	}
	return lies
}

func loginLies(password string) []Lie {
	scram := func(s Scram) []Step {
		s.Password = password
		return []Step{LoginSCRAM(s), Welcome(), ServeQueries("lie")}
	}
	// after is a lie that follows an honest exchange.
	after := func(b ...[]byte) []Step {
		return []Step{LoginSCRAM(Scram{Password: password}), Send(b...), Silence()}
	}
	first := func(b ...[]byte) []Step { return []Step{ExpectStartup(), Send(b...), Silence()} }
	lies := []Lie{
		{Name: "accepts and is silent", Endless: true, Steps: []Step{Silence()}},
		{Name: "accepts and is deaf", Endless: true, Steps: []Step{Deafness()}},
		{Name: "reads the startup packet and is silent", Endless: true, Steps: first()},
		{Name: "hangs up at once", Steps: []Step{HangUp()}},
		{Name: "hangs up after the startup packet", Steps: []Step{ExpectStartup(), HangUp()}},
		{Name: "is a web server", Steps: []Step{Send([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")), HangUp()}},
		{Name: "error without fields", Steps: first(Frame('E', "\x00"))},
		{Name: "error with an empty body", Steps: first(Frame('E', ""))},
		{Name: "error with an unterminated field", Steps: first(Frame('E', "SFATAL"))},
		{Name: "error of 1 MB", Steps: first(Frame('E', "SFATAL\x00C28000\x00M"+strings.Repeat("x", 1<<20)+"\x00\x00"))},
		{Name: "authentication of an unknown kind", Steps: first(Frame('R', "\x00\x00\x00\x63"))},
		{Name: "authentication without a kind", Steps: first(Frame('R', ""))},
		{Name: "SASL without mechanisms", Steps: first(Frame('R', "\x00\x00\x00\x0a\x00"))},
		{Name: "SASL with an unterminated mechanism", Steps: first(Frame('R', "\x00\x00\x00\x0aSCRAM-SHA-256"))},
		{Name: "SASL with an unknown mechanism", Steps: first(Frame('R', "\x00\x00\x00\x0aPLAIN\x00\x00"))},
		{Name: "SCRAM nonce of 1 MB", Steps: scram(Scram{Nonce: strings.Repeat("n", 1<<20)})},
		{Name: "SCRAM nonce that is not ours", Steps: scram(Scram{OtherNonce: true})},
		{Name: "SCRAM with 0 iterations", Steps: scram(Scram{Iterations: "0"})},
		{Name: "SCRAM with -1 iterations", Steps: scram(Scram{Iterations: "-1"})},
		{Name: "SCRAM with 2^31 iterations", Steps: scram(Scram{Iterations: "2147483648"})},
		{Name: "SCRAM with 2^31-1 iterations", Steps: scram(Scram{Iterations: "2147483647"})},
		{Name: "SCRAM salt that is not base64", Steps: scram(Scram{Salt: "%%%"})},
		{Name: "SCRAM signature of another server", Steps: scram(Scram{Forged: true})},
		{Name: "AuthenticationOk before SASLFinal", Steps: scram(Scram{Early: true})},
		{Name: "AuthenticationOk before SASLContinue", Steps: []Step{
			ExpectStartup(), Send(Frame('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")), Expect('p'),
			Send(Frame('R', "\x00\x00\x00\x00")), Welcome(), ServeQueries("lie"),
		}},
		{Name: "SASLFinal first", Steps: first(Frame('R', "\x00\x00\x00\x0av=AAAA"))},
		{Name: "a key of no bytes", Steps: after(Frame('K', ""), Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))},
		{Name: "a query's answer instead of a welcome", Steps: after(Answer("lie"))},
		{Name: "ready with a bogus status", Steps: after(Settings(), Frame('Z', "X"))},
		{Name: "ready without a status", Steps: after(Settings(), Frame('Z', ""))},
		{Name: "dies before it is ready", Steps: []Step{LoginSCRAM(Scram{Password: password}), Send(Settings()), Reset()}},
		{Name: "never ready", Endless: true, Steps: after(Settings())},
	}
	for _, l := range badLengths {
		lies = append(lies, Lie{Name: "at login, " + l.name, Steps: first(FrameWithLength('R', l.length, "\x00\x00\x00\x00"))})
	}
	return at(AtLogin, lies)
}

// badLengths are lengths that no frame may have: they count themselves, so 4 is the least, and 1 GB is PostgreSQL's most.
var badLengths = []struct {
	name   string
	length uint32
}{
	{"a frame with length 0", 0},
	{"a frame with length 3", 3},
	{"a frame with length 1 GB", 1 << 30},
	{"a frame with length 2^31-1", 1<<31 - 1},
	{"a frame with length -1", 1<<32 - 1},
}

func frameLies() []Lie {
	var lies []Lie
	for _, l := range badLengths {
		lies = append(lies, Lie{Name: "in an answer, " + l.name, Steps: []Step{
			Send(Encode(columns()), FrameWithLength('D', l.length, "\x00\x00")), Silence(),
		}})
	}
	for _, typ := range []byte{0, 'a', 'p', 'Q', 0x80, 0xff} {
		lies = append(lies, Lie{Name: fmt.Sprintf("in an answer, a frame of type %#02x", typ), Steps: []Step{
			Send(Frame(typ, "lie\x00"), Answer("lie")), Silence(),
		}})
	}
	return at(InAnswer, lies)
}

func answerLies() []Lie {
	row := Frame('D', "\x00\x01\x00\x00\x00\x03lie")
	rest := Encode(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	say := func(b ...[]byte) []Step { return []Step{Send(b...), Silence()} }
	die := func(how Step, b ...[]byte) []Step { return []Step{Send(b...), how} }
	return at(InAnswer, []Lie{
		{Name: "a value with length -2", Opaque: true, Steps: say(Encode(columns()), Frame('D', "\x00\x01\xff\xff\xff\xfe"), rest)},
		{Name: "a value longer than its row", Opaque: true, Steps: say(Encode(columns()), Frame('D', "\x00\x01\x7f\xff\xff\xfflie"), rest)},
		{Name: "-1 columns", Opaque: true, Steps: say(Encode(columns()), Frame('D', "\xff\xff"), rest)},
		{Name: "a row of no bytes", Opaque: true, Steps: say(Encode(columns()), Frame('D', ""), rest)},
		{Name: "an unterminated tag", Opaque: true, Steps: say(Frame('C', "SELECT 1"), Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))},
		{Name: "an error without fields", Opaque: true, Steps: say(Frame('E', "\x00"), Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))},
		{Name: "a second row description", Steps: say(Encode(columns(), columns()), row, rest)},
		{Name: "a copy in both directions", Steps: say(Frame('W', "\x00\x00\x00"), row)},
		{Name: "a key in mid-session", Steps: say(Encode(columns()), Frame('K', "\x00\x00\x00\x01\x00\x00\x00\x01"), row, rest)},
		{Name: "authentication in mid-session", Steps: say(Encode(columns()), Frame('R', "\x00\x00\x00\x03"), row, rest)},
		{Name: "protocol negotiation in mid-session", Steps: say(Frame('v', "\x00\x03\x00\x00\x00\x00\x00\x00"), Answer("lie"))},
		{Name: "a setting without a value", Steps: say(Frame('S', "TimeZone\x00"), Answer("lie"))},
		{Name: "a setting without an end", Steps: say(Frame('S', "TimeZone"), Answer("lie"))},
		{Name: "ready with a bogus status, in mid-session", Steps: say(Encode(columns()), row, Frame('Z', "X"))},
		{Name: "ready without a status, in mid-session", Steps: say(Encode(columns()), row, Frame('Z', ""))},
		{Name: "ready with a long status", Steps: say(Encode(columns()), row, Frame('Z', "II"))},
		{Name: "death in a frame", Steps: die(HangUp(), Encode(columns()), row[:6])},
		{Name: "death in a header", Steps: die(HangUp(), Encode(columns()), row, row[:3])},
		{Name: "death between rows", Steps: die(HangUp(), Encode(columns()), row)},
		{Name: "death before an answer", Steps: die(Reset())},
		{Name: "reset between rows", Steps: die(Reset(), Encode(columns()), row)},
		{Name: "silence between rows", Endless: true, Steps: say(Encode(columns()), row)},
		{Name: "silence in a frame", Endless: true, Steps: say(Encode(columns()), row[:6])},
	})
}

func idleLies() []Lie {
	// An honest answer first, in the same write: the proxy must tell the two apart by what it has asked for.
	unasked := func(b ...[]byte) []Step { return []Step{Send(append([][]byte{Answer("truth")}, b...)...), Silence()} }
	shutdown := Encode(&pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "terminating connection due to administrator command",
	})
	return at(WhenIdle, []Lie{
		{Name: "an unasked answer", Steps: unasked(Answer("lie"))},
		{Name: "an unasked ready", Steps: unasked(Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'}))},
		{Name: "an unasked ready in a transaction", Steps: unasked(Encode(&pgproto3.ReadyForQuery{TxStatus: 'T'}))},
		{Name: "an unasked row", Steps: unasked(Frame('D', "\x00\x01\x00\x00\x00\x03lie"))},
		{Name: "an unasked half frame", Steps: unasked(FrameWithLength('D', 100, "\x00\x01"))},
		{Name: "an unasked frame with length 0", Steps: unasked(FrameWithLength('N', 0, ""))},
		{Name: "an error of the shutdown, then the end", Steps: []Step{Send(Answer("truth"), shutdown), HangUp()}},
		{Name: "an error of the shutdown, then nothing", Steps: unasked(shutdown)},
		{Name: "the end", Steps: []Step{Send(Answer("truth")), HangUp()}},
		{Name: "a reset", Steps: []Step{Send(Answer("truth")), Reset()}},
	})
}

func at(stage Stage, lies []Lie) []Lie {
	for i := range lies {
		lies[i].Stage = stage
	}
	return lies
}
