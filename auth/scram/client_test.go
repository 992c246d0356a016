package scram

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// passKey is what pgtier has after a client has logged in with the password.
func passKey(t testing.TB, s *Secret, password string) PassKey {
	t.Helper()
	v := Mint(password, []byte(s.salt), s.iterations)
	// A proof against a verifier gives the key away to who has that verifier: so the server side has it.
	x, err := NewExchange(s, SHA256, nil)
	if err != nil {
		t.Fatal(err)
	}
	conversation := xdgClient(t, password).NewConversation()
	first, _ := conversation.Step("")
	challenge, err := x.Next([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	final, _ := conversation.Step(string(challenge))
	if _, err := x.Next([]byte(final)); err != nil {
		t.Fatal(err)
	}
	key := x.ClientKey()
	if key.Stored() != v.stored {
		t.Fatal("the key is of another password")
	}
	pass, ok := s.PassKey(key)
	if !ok {
		t.Fatal("the key does not fit")
	}
	return pass
}

// login goes through an exchange between a client with a key and a server.
func login(c *Client, server *Exchange) error {
	challenge, err := server.Next(c.First())
	if err != nil {
		return err
	}
	proof, err := c.Final(challenge)
	if err != nil {
		return err
	}
	final, err := server.Next(proof)
	if err != nil {
		return err
	}
	return c.Verify(final)
}

func TestClient(t *testing.T) {
	ours := secretOf(t, "old", "new")
	for _, test := range []struct {
		name     string
		password string
		server   *Secret
		want     error
		other    bool // the server names another salt or iteration count
	}{
		{"the same verifier", "new", secretOf(t, "new"), nil, false},
		{"the first of two", "old", secretOf(t, "old"), nil, false},
		{"the server has the other one", "old", secretOf(t, "new"), ErrProof, false},
		{"another salt", "new", secretWith(t, "new", "another salt....", DefaultIterations), ErrProof, true},
		{"other iterations", "new", secretWith(t, "new", "0123456789abcdef", 5000), ErrProof, true},
		{"a name without a password", "new", Mock([]byte("key"), "alice", 16, DefaultIterations), ErrProof, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, _ := NewExchange(test.server, SHA256, nil)
			c := NewClient(passKey(t, ours, test.password))
			if err := login(c, server); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if server.Done() != (test.want == nil) || c.OtherVerifier() != test.other {
				t.Errorf("server done %v, other verifier %v", server.Done(), c.OtherVerifier())
			}
		})
	}
}

func secretWith(t testing.TB, password, salt string, iterations int) *Secret {
	t.Helper()
	s, err := NewSecret(Mint(password, []byte(salt), iterations))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeysThatFit(t *testing.T) {
	s := secretOf(t, "old", "new")
	key := passKey(t, s, "old").Client
	if !s.Fits(key.Stored()) || secretOf(t, "new").Fits(key.Stored()) {
		t.Error("a key fits the verifiers that are of it, and no others")
	}
	if _, ok := secretOf(t, "new").PassKey(key); ok {
		t.Error("a key was taken for another password's")
	}
	doomed := *s
	doomed.mock = true
	if doomed.Fits(key.Stored()) {
		t.Error("a mock fits")
	}
	key.Wipe()
	if *key != (ClientKey{}) || s.Fits(key.Stored()) {
		t.Error("the key is still there")
	}
	(*ClientKey)(nil).Wipe()
}

// TestServersThatLie: what a server without the verifier says, and what is not SCRAM.
func TestServersThatLie(t *testing.T) {
	const salt = ",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096"
	key := passKey(t, secretOf(t, "new"), "new")
	for _, first := range []string{
		"", "r=", "r=abc" + salt, "r=xabcSERVER" + salt, "r=abcSER VER" + salt, "r=abcSERVER\x00" + salt, "m=ext,r=abcSERVER" + salt,
		"r=abcSERVER,s=,i=4096", "r=abcSERVER,s=====,i=4096", "r=abcSERVER,i=4096,s=AAAA", "r=abcSERVER,s=AAAA", "r=abcSERVER,s=AAAA,i=",
		"r=abcSERVER,s=AAAA,i=0", "r=abcSERVER,s=AAAA,i=-1", "r=abcSERVER,s=AAAA,i=4096x", "r=abcSERVER,s=AAAA,i=2147483648",
		"r=abcSERVER,s=AAAA,i=10000001", "e=other-error", strings.Repeat("r", MaxMessage+1),
	} {
		c := newClient(key, "abc")
		if proof, err := c.Final([]byte(first)); err == nil {
			t.Errorf("%q was answered with %q", first, proof)
		}
		if err := c.Verify([]byte("v=AAAA")); err == nil {
			t.Errorf("after %q the server was believed", first)
		}
	}
	for _, final := range []string{
		"", "v=", "v=AAAA", "v=" + base64.StdEncoding.EncodeToString(make([]byte, keySize)), "e=invalid-proof", "x=1", "vv", strings.Repeat("v", MaxMessage+1),
	} {
		c := newClient(key, "abc")
		if _, err := c.Final([]byte("r=abcSERVER" + salt + ",x=extension")); err != nil {
			t.Fatal(err)
		}
		if err := c.Verify([]byte(final)); err == nil {
			t.Errorf("%q was believed", final)
		}
	}
}

// FuzzClient feeds what a server may say: no panic, and only who has the verifier is believed.
func FuzzClient(f *testing.F) {
	f.Add("r=abcSERVER,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096", "v=AAAA")
	f.Add("r=abcSERVER,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096,x=y", "e=invalid-proof")
	f.Add("m=,r=abcSERVER,s=,i=", "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=")
	f.Add("r=,s=AA==,i=1", "")
	key := passKey(f, secretOf(f, "pencil"), "pencil")
	f.Fuzz(func(t *testing.T, first, final string) {
		c := newClient(key, "abc")
		proof, err := c.Final([]byte(first))
		if err == nil && (bytes.Contains(proof, key.Client[:]) || !strings.HasPrefix(string(proof), "c=biws,r=abc")) {
			t.Fatalf("%q", proof)
		}
		if c.Verify([]byte(final)) == nil {
			t.Fatal("a server without the verifier was believed")
		}
	})
}
