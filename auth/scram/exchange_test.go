package scram

import (
	"errors"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"
)

// secretOf makes a Secret of passwords that are all valid at once.
func secretOf(t testing.TB, passwords ...string) *Secret {
	t.Helper()
	var verifiers []Verifier
	for _, p := range passwords {
		verifiers = append(verifiers, Mint(p, []byte("0123456789abcdef"), DefaultIterations))
	}
	s, err := NewSecret(verifiers...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRFC7677 replays the example of RFC 7677 section 3.
func TestRFC7677(t *testing.T) {
	salt, _ := decode("W22ZaJ0SNY7soEsUEjb6gQ==")
	secret, err := NewSecret(Mint("pencil", salt, 4096))
	if err != nil {
		t.Fatal(err)
	}
	x, err := newExchange(secret, SHA256, nil, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ client, server string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		reply, err := x.Next([]byte(step.client))
		if err != nil || string(reply) != step.server {
			t.Fatalf("after %q: %q, %v", step.client, reply, err)
		}
	}
	if !x.Done() {
		t.Fatal("not done")
	}
}

// converse runs a whole exchange against an independent client.
func converse(t *testing.T, conversation *xdg.ClientConversation, x *Exchange) error {
	t.Helper()
	challenge := ""
	for !x.Done() {
		response, err := conversation.Step(challenge)
		if err != nil {
			t.Fatalf("the client refuses: %v", err)
		}
		reply, err := x.Next([]byte(response))
		if err != nil {
			return err
		}
		challenge = string(reply)
	}
	if _, err := conversation.Step(challenge); err != nil || !conversation.Valid() {
		t.Fatalf("the client does not believe the server: %v", err)
	}
	return nil
}

func xdgClient(t testing.TB, password string) *xdg.Client {
	t.Helper()
	c, err := xdg.SHA256.NewClient("ignored,name=", password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIndependentClient(t *testing.T) {
	binding := []byte("hash of the certificate")
	bound := xdg.ChannelBinding{Type: xdg.ChannelBindingTLSServerEndpoint, Data: binding}
	other := xdg.ChannelBinding{Type: xdg.ChannelBindingTLSServerEndpoint, Data: []byte("hash of another one")}
	plain := func(c *xdg.Client) *xdg.ClientConversation { return c.NewConversation() }
	with := func(b xdg.ChannelBinding) func(*xdg.Client) *xdg.ClientConversation {
		return func(c *xdg.Client) *xdg.ClientConversation { return c.NewConversationWithChannelBinding(b) }
	}
	advertise := func(c *xdg.Client) *xdg.ClientConversation { return c.NewConversationAdvertisingChannelBinding() }
	for _, test := range []struct {
		name      string
		password  string
		begin     func(*xdg.Client) *xdg.ClientConversation
		mechanism string
		binding   []byte
		want      string // "" = success
	}{
		{"plain", "old", plain, SHA256, nil, ""},
		{"the second of two passwords", "new", plain, SHA256, nil, ""},
		{"plain although bound is offered", "new", plain, SHA256, binding, ""},
		{"wrong password", "older", plain, SHA256, nil, ErrProof.Error()},
		{"bound", "old", with(bound), SHA256Plus, binding, ""},
		{"bound, second password", "new", with(bound), SHA256Plus, binding, ""},
		{"bound, wrong password", "none", with(bound), SHA256Plus, binding, ErrProof.Error()},
		{"somebody in the middle", "old", with(other), SHA256Plus, binding, "SCRAM channel binding check failed"},
		{"y without an offer", "old", advertise, SHA256, nil, ""},
		{"downgrade", "old", advertise, SHA256, binding, "SCRAM channel binding negotiation error"},
		{"p in the plain mechanism", "old", with(bound), SHA256, binding, "selected SCRAM-SHA-256 without channel binding"},
		{"n in the bound mechanism", "old", plain, SHA256Plus, binding, "does not include channel binding data"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, err := NewExchange(secretOf(t, "old", "new"), test.mechanism, test.binding)
			if err != nil {
				t.Fatal(err)
			}
			err = converse(t, test.begin(xdgClient(t, test.password)), x)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestClientKey(t *testing.T) {
	x, _ := NewExchange(secretOf(t, "old", "new"), SHA256, nil)
	if x.ClientKey() != nil {
		t.Error("a key before the proof")
	}
	if err := converse(t, xdgClient(t, "new").NewConversation(), x); err != nil {
		t.Fatal(err)
	}
	key := x.ClientKey()
	stored := Mint("new", []byte("0123456789abcdef"), DefaultIterations).stored
	if key == nil || sha(key[:]) != stored || key.Stored() != stored {
		t.Error("the client key does not belong to the password that was used")
	}
	if x.ClientKey() != nil {
		t.Error("the exchange has kept the key")
	}
}

func TestMockIsDoomedAndSteady(t *testing.T) {
	key := []byte("a key")
	a, b, c := Mock(key, "bob", 16, 4096), Mock(key, "bob", 16, 4096), Mock(key, "carol", 16, 4096)
	if a.salt != b.salt || a.salt == c.salt || len(a.salt) != 16 {
		t.Error("the salt must follow the name, and nothing else")
	}
	if salt := Mock([]byte("another key"), "bob", 16, 4096).salt; salt == a.salt {
		t.Error("the salt must follow the key")
	}
	x, _ := NewExchange(a, SHA256, nil)
	if err := converse(t, xdgClient(t, "").NewConversation(), x); !errors.Is(err, ErrProof) {
		t.Errorf("got %v", err)
	}
	// Not even a proof that fits the mock's keys succeeds.
	doomed := *secretOf(t, "old")
	doomed.mock = true
	x, _ = NewExchange(&doomed, SHA256, nil)
	if err := converse(t, xdgClient(t, "old").NewConversation(), x); !errors.Is(err, ErrProof) {
		t.Errorf("got %v", err)
	}
}

func TestMessages(t *testing.T) {
	proof := strings.Repeat("A", 43) + "="
	const nonce = "r=abcSERVER"
	for _, test := range []struct {
		name   string
		first  string
		final  string
		kind   Kind
		detail string // part of the error; ErrProof's when the messages are fine
	}{
		{"fine", "n,,n=,r=abc", "c=biws," + nonce + ",p=" + proof, 0, ErrProof.Error()},
		{"fine with extensions", "n,,n=,r=abc,x=1,y=", "c=biws," + nonce + ",e=1,p=" + proof, 0, ErrProof.Error()},
		{"empty", "", "", Malformed, "The message is empty."},
		{"NUL", "n,,n=,r=abc\x00", "", Malformed, "does not match"},
		{"too long", "n,,n=,r=" + strings.Repeat("a", MaxMessage), "", Malformed, "too long"},
		{"flag", "z,,n=,r=abc", "", Malformed, `Unexpected channel-binding flag "z".`},
		{"flag alone", "n", "", Malformed, "Comma expected, but found end of string."},
		{"binary", "\xff\xfe", "", Malformed, "0xff"},
		{"no comma", "nn,n=,r=abc", "", Malformed, `Comma expected, but found "n".`},
		{"authzid", "n,a=root,n=,r=abc", "", Unsupported, "authorization identity"},
		{"attribute for authzid", "n,b=root,n=,r=abc", "", Malformed, `Unexpected attribute "b" in client-first-message.`},
		{"mandatory extension", "n,,m=1,n=,r=abc", "", Unsupported, "extension"},
		{"no name", "n,,r=abc", "", Malformed, `Expected attribute "n" but found "r".`},
		{"no nonce", "n,,n=", "", Malformed, "end of string"},
		{"empty nonce", "n,,n=,r=", "", Malformed, "nonce"},
		{"space in nonce", "n,,n=,r=a c", "", Malformed, "non-printable"},
		{"utf-8 in nonce", "n,,n=,r=é", "", Malformed, "non-printable"},
		{"bad extension", "n,,n=,r=abc,1=2", "", Malformed, "invalid character"},
		{"extension without =", "n,,n=,r=abc,x", "", Malformed, `Expected character "="`},
		{"p without value", "p,,n=,r=abc", "", Malformed, `Expected character "="`},
		{"p in plain", "p=tls-unique,,n=,r=abc", "", Malformed, "without channel binding"},
		{"final empty", "n,,n=,r=abc", "", Malformed, "empty"},
		{"final is first again", "n,,n=,r=abc", "n,,n=,r=abc", Malformed, `Expected character "="`},
		{"other gs2 header", "n,,n=,r=abc", "c=eSws," + nonce + ",p=" + proof, Malformed, "channel-binding attribute"},
		{"client's nonce only", "n,,n=,r=abc", "c=biws,r=abc,p=" + proof, Malformed, "Nonce"},
		{"longer nonce", "n,,n=,r=abc", "c=biws," + nonce + "x,p=" + proof, Malformed, "Nonce"},
		{"no proof", "n,,n=,r=abc", "c=biws," + nonce, Malformed, "end of string"},
		{"short proof", "n,,n=,r=abc", "c=biws," + nonce + ",p=AAAA", Malformed, "Malformed proof"},
		{"long proof", "n,,n=,r=abc", "c=biws," + nonce + ",p=" + strings.Repeat("AAAA", 11), Malformed, "Malformed proof"},
		{"line break in proof", "n,,n=,r=abc", "c=biws," + nonce + ",p=\n" + proof, Malformed, "Malformed proof"},
		{"garbage", "n,,n=,r=abc", "c=biws," + nonce + ",p=" + proof + ",x=1", Malformed, "Garbage"},
		{"comma at the end", "n,,n=,r=abc", "c=biws," + nonce + ",p=" + proof + ",", Malformed, "Garbage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, _ := newExchange(secretOf(t, "pencil"), SHA256, nil, "SERVER")
			_, err := x.Next([]byte(test.first))
			if err == nil {
				_, err = x.Next([]byte(test.final))
			}
			var message *Error
			if err == nil || !strings.Contains(err.Error(), test.detail) || errors.As(err, &message) && message.Kind != test.kind {
				t.Errorf("got %v, want %q", err, test.detail)
			}
			if x.Done() {
				t.Error("done in spite of the error")
			}
		})
	}
}

func TestBindingTypes(t *testing.T) {
	x, _ := NewExchange(secretOf(t, "pencil"), SHA256Plus, []byte("hash"))
	if _, err := x.Next([]byte("p=tls-unique,,n=,r=abc")); err == nil || !strings.Contains(err.Error(), "unsupported SCRAM channel-binding type") {
		t.Errorf("got %v", err)
	}
	for _, mechanism := range []string{"", "SCRAM-SHA-1", "scram-sha-256", SHA256Plus} {
		if _, err := NewExchange(secretOf(t, "pencil"), mechanism, nil); err == nil {
			t.Errorf("mechanism %q was accepted without an offer", mechanism)
		}
	}
}
