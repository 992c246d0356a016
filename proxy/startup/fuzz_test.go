package startup

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// onlyPublic fails when an error is not one that a client may see.
func onlyPublic(t *testing.T, err error) {
	var shown *pgerr.Error
	if err != nil && (!errors.As(err, &shown) || shown == nil || shown.Code == "" || shown.Severity != "FATAL") {
		t.Fatalf("%v", err)
	}
}

// FuzzStartupPacket: no panic, and no parameter passes that changes who the session is.
func FuzzStartupPacket(f *testing.F) {
	f.Add(uint32(protocol30), "user\x00alice\x00database\x00EPMT\x00\x00")
	f.Add(uint32(protocol32), "user\x00alice~rw\x00options\x00-c pgtier.tier=rw --a-b=c\\ d\x00pgtier.tier\x00ro\x00_pq_.x\x00\x00\x00")
	f.Add(uint32(3<<16|9999), "user\x00a\x00ROLE\x00b\x00\x00")
	f.Add(uint32(2<<16), "")
	f.Fuzz(func(t *testing.T, version uint32, body string) {
		r, err := parseRequest(version, []byte(body))
		onlyPublic(t, err)
		if err != nil {
			return
		}
		if r.user == "" || r.protocol != protocol30 && r.protocol != protocol32 {
			t.Fatalf("%+v", r)
		}
		p, err := collect(r)
		onlyPublic(t, err)
		if err != nil {
			return
		}
		for _, param := range p.list {
			switch strings.ReplaceAll(strings.ToLower(param.Name), "-", "_") {
			case "role", "session_authorization", "replication", "pgtier.tier", "pgtier.identity", "":
				t.Fatalf("%q passed", param.Name)
			}
			if strings.ContainsAny(param.Name, " \"';\\\x00=") {
				t.Fatalf("%q passed", param.Name)
			}
		}
		_, refusal := p.tier("")
		if refusal != nil {
			onlyPublic(t, refusal)
		}
	})
}

func FuzzOptions(f *testing.F) {
	for _, s := range []string{"", "-c a=b", `--a=\ `, "-e", `-c\`, "-c", "--", "- -c=", "-c role=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		params, err := parseOptions(s)
		onlyPublic(t, err)
		for _, p := range params {
			if strings.Contains(p.Name, "-") || len(p.Name)+len(p.Value) > len(s) {
				t.Fatalf("%q became %q", s, params)
			}
		}
	})
}

func FuzzInitialResponse(f *testing.F) {
	f.Add([]byte("SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"))
	f.Add([]byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x80\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, first, err := parseInitialResponse(body)
		onlyPublic(t, err)
		if len(first) > len(body) {
			t.Fatal("more than there was")
		}
	})
}
