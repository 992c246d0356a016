package scram

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

// TestPostgres compares with what PostgreSQL 15 stored for CREATE ROLE ... PASSWORD, in testdata/postgres15.txt: the password's
// bytes in hexadecimal and pg_authid.rolpassword.
func TestPostgres(t *testing.T) {
	f, err := os.Open("testdata/postgres15.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		digits, text, _ := strings.Cut(s.Text(), " ")
		password, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ParseVerifier(text)
		if err != nil {
			t.Fatalf("%q: %v", password, err)
		}
		if v.Encode() != text {
			t.Errorf("%q: read and written again, the verifier differs", password)
		}
		if Mint(string(password), v.Salt(), v.Iterations()) != v {
			t.Errorf("%q (%+q): minted otherwise than by PostgreSQL", password, Prepare(string(password)))
		}
	}
	if lines < 40 {
		t.Errorf("only %d lines", lines)
	}
}

func TestParseVerifierRefuses(t *testing.T) {
	good := Mint("secret", []byte("0123456789abcdef"), 4096).Encode()
	if _, err := ParseVerifier(good); err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, text := range map[string]string{
		"empty":             "",
		"password":          "secret",
		"md5":               "md5d41d8cd98f00b204e9800998ecf8427e",
		"lower case":        strings.ToLower(good),
		"SHA-1":             replace("SHA-256", "SHA-1"),
		"no iterations":     replace("4096", ""),
		"zero iterations":   replace("4096", "0"),
		"minus":             replace("4096", "-1"),
		"plus sign":         replace("4096", "+4096"),
		"too many":          replace("4096", "10000001"),
		"2^31":              replace("4096", "2147483648"),
		"2^64":              replace("4096", "18446744073709551616"),
		"no salt":           replace("4096:MDEyMzQ1Njc4OWFiY2RlZg==", "4096:"),
		"long salt":         replace("MDEyMzQ1Njc4OWFiY2RlZg==", strings.Repeat("AAAA", 86)),
		"salt not base64":   replace("MDEy", "****"),
		"line break":        replace("MDEy", "MD\nEy"),
		"loose padding":     replace("ZWY=", "ZWZ="),
		"one key":           good[:strings.LastIndex(good, ":")],
		"short key":         good[:len(good)-4],
		"something after":   good + "A",
		"a third key":       good + ":" + good[strings.LastIndex(good, ":")+1:],
		"a space before":    " " + good,
		"a line feed after": good + "\n",
	} {
		if text == good {
			continue
		}
		_, err := ParseVerifier(text)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	v := Mint("secret", []byte("0123456789abcdef"), 4096)
	s, err := NewSecret(v)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		V Verifier
		S *Secret
		C *ClientKey
		K StoredKey
		P PassKey
	}
	keys := v.Encode()[strings.LastIndex(v.Encode(), "$")+1:]
	stored, server, _ := strings.Cut(keys, ":")
	x, _ := NewExchange(s, SHA256, nil)
	if err := converse(t, xdgClient(t, "secret").NewConversation(), x); err != nil {
		t.Fatal(err)
	}
	key := x.ClientKey()
	pass, ok := s.PassKey(key)
	if !ok {
		t.Fatal("the key does not fit")
	}
	held := holder{v, s, key, key.Stored(), pass}
	raw := []byte(key[:])
	asJSON, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(v), fmt.Sprintf("%+v %#v %s %q %x %d", v, v, v, v, v, v), fmt.Sprintf("%+v", &v),
		fmt.Sprintf("%v %+v %#v %x", s, s, s, s), fmt.Sprintf("%+v %#v", held, held), string(asJSON),
		fmt.Sprintf("%v %+v %#v %x %s", *key, key, key, key, key), fmt.Sprintf("%v %x %d", key.Stored(), key.Stored(), key.Stored()),
		fmt.Sprintf("%v %+v %#v", pass, &pass, pass),
	} {
		for _, bad := range []string{stored, server, fmt.Sprintf("%x", v.stored), fmt.Sprint(v.stored), fmt.Sprintf("%x", raw), fmt.Sprint(raw), string(raw), fmt.Sprintf("%x", v.server), "0123456789abcdef"} {
			if strings.Contains(printed, bad) {
				t.Errorf("%q shows a key", printed)
			}
		}
	}
}

func TestNewSecret(t *testing.T) {
	a := Mint("a", []byte("0123456789abcdef"), 4096)
	if _, err := NewSecret(); err == nil {
		t.Error("a secret of nothing")
	}
	for _, b := range []Verifier{Mint("b", []byte("0123456789abcdeX"), 4096), Mint("b", []byte("0123456789abcdef"), 4097)} {
		if _, err := NewSecret(a, b); err == nil {
			t.Error("verifiers were mixed")
		}
	}
}

func TestSaltsDiffer(t *testing.T) {
	if a, b := NewSalt(), NewSalt(); len(a) != DefaultSaltSize || string(a) == string(b) {
		t.Error("not a random salt")
	}
}

func BenchmarkMint(b *testing.B) {
	for b.Loop() {
		Mint("secret", []byte("0123456789abcdef"), DefaultIterations)
	}
}
