package scram

import (
	"testing"
	"unicode/utf8"
)

// FuzzExchange feeds two messages of a client that knows nothing: no panic, never a success.
func FuzzExchange(f *testing.F) {
	f.Add("n,,n=,r=abc", "c=biws,r=abcSERVER,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false)
	f.Add("p=tls-server-end-point,,n=,r=abc", "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaGFzaA==,r=abcSERVER,p=AAAA", true)
	f.Add("y,,n=,r=abc,x=", "c=eSws,r=abcSERVER,x=,p=", false)
	f.Add("n,a=b,m=", "p=p=,,", true)
	secret := secretOf(f, "pencil")
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		mechanism := SHA256
		if plus {
			mechanism = SHA256Plus
		}
		x, err := newExchange(secret, mechanism, []byte("hash"), "SERVER")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Next([]byte(first)); err != nil {
			return
		}
		if _, err := x.Next([]byte(final)); err == nil || x.Done() {
			t.Fatal("a guess succeeded")
		}
	})
}

// FuzzParseVerifier: what is accepted is written again as it was.
func FuzzParseVerifier(f *testing.F) {
	f.Add(Mint("secret", []byte("0123456789abcdef"), 4096).Encode())
	f.Add("SCRAM-SHA-256$04096:AA==$:")
	f.Add("md5d41d8cd98f00b204e9800998ecf8427e")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			return
		}
		if again, err := ParseVerifier(v.Encode()); err != nil || again != v {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"", "a", "é", "\u00a0", "\u200b", "\u0340", "\u05d01\u05d0", "\xff", "\ufdfa", "\U0001f600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p := Prepare(s); utf8.ValidString(s) != utf8.ValidString(p) || (s == "") != (p == "") {
			t.Fatalf("%+q became %+q", s, p)
		}
	})
}
