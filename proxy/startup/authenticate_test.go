package startup

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	xdg "github.com/xdg-go/scram"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// exchange plays a client with a password over raw frames and returns everything that it was told, in words. Nonces and salts
// are replaced: they are random. late makes it ask for an empty challenge first.
func exchange(t *testing.T, conn net.Conn, name, password string, late bool) (transcript string) {
	t.Helper()
	client, err := xdg.SHA256.NewClient("", password, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversation()
	write := func(b []byte) {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	var told strings.Builder
	hear := func() []byte {
		typ, body := frame(t, conn)
		text := regexp.MustCompile(`r=[^,]*,s=[^,]{24},`).ReplaceAllString(string(body), "r=NONCE,s=SALT,")
		_, _ = fmt.Fprintf(&told, "%c %q\n", typ, text)
		return body
	}
	write(startupPacket(protocol30, "user", name, "database", "EPMT"))
	hear()
	first, _ := conversation.Step("")
	if late {
		write(sasl(scram.SHA256, 0xffffffff, ""))
		if body := hear(); string(body) != "\x00\x00\x00\x0b" {
			t.Errorf("not an empty challenge: %q", body)
		}
		write(passwordMessage(uint32(4+len(first)), first))
	} else {
		write(sasl(scram.SHA256, uint32(len(first)), first))
	}
	final, err := conversation.Step(string(hear()[4:]))
	if err != nil {
		t.Fatal(err)
	}
	write(passwordMessage(uint32(4+len(final)), final))
	hear()
	return told.String()
}

// TestFailuresLookTheSame: unknown, disabled, without a password, wrong password (G3).
func TestFailuresLookTheSame(t *testing.T) {
	reasons := map[string]string{"alice": "wrong password", "migrate": "wrong password", "off": "no such identity, or disabled", "nobody": "no such identity, or disabled"}
	want := ""
	for name, reason := range reasons {
		cfg := testConfig(t)
		core, logs := observer.New(zap.DebugLevel)
		cfg.Log = zap.New(core)
		conn, done := begin(t, cfg, "tcp")
		got := strings.ReplaceAll(exchange(t, conn, name, "a wrong one", false), name, "NAME")
		if want == "" {
			want = got
		}
		if got != want || !strings.Contains(got, `password authentication failed for user \"NAME\"`) {
			t.Errorf("%s is told\n%s\nanother\n%s", name, got, want)
		}
		_ = conn.Close()
		<-done
		entries := logs.All()
		if len(entries) != 1 || entries[0].ContextMap()["reason"] != reason || entries[0].ContextMap()["sqlstate"] != pgerr.InvalidPassword {
			t.Errorf("%s: logged %+v", name, entries)
		}
	}
}

func TestEmptyInitialResponse(t *testing.T) {
	conn, done := begin(t, testConfig(t), "tcp")
	told := exchange(t, conn, "alice", "secret", true)
	if o := <-done; o.client == nil {
		t.Errorf("%s\n%s", describe(o), told)
	}
	if typ, body := frame(t, conn); typ != wire.Authentication || string(body) != "\x00\x00\x00\x00" {
		t.Errorf("%c %q instead of AuthenticationOk", typ, body)
	}
}

// TestThrottledIsRefusedUnchecked: with too many guesses in front of it even the right password is refused, in the same words.
func TestThrottledIsRefusedUnchecked(t *testing.T) {
	cfg := testConfig(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg.Now = func() time.Time { return now }
	core, logs := observer.New(zap.DebugLevel)
	cfg.Log = zap.New(core)
	for {
		a, wait, ok := cfg.Throttle.Admit(now, "alice", netip.MustParseAddr("127.0.0.1"))
		if !ok {
			break
		}
		if wait == 0 {
			a.Failed(now)
		}
	}
	conn, done := begin(t, cfg, "tcp")
	if told := exchange(t, conn, "alice", "secret", false); !strings.Contains(told, `password authentication failed for user \"alice\"`) {
		t.Errorf("told %s", told)
	}
	_ = conn.Close()
	<-done
	if len(logs.All()) != 1 || logs.All()[0].ContextMap()["reason"] != "throttled" {
		t.Errorf("logged %+v", logs.All())
	}
}

// TestLogsHoldNoSecrets looks through what a refused login leaves behind.
func TestLogsHoldNoSecrets(t *testing.T) {
	cfg := testConfig(t)
	core, logs := observer.New(zap.DebugLevel)
	cfg.Log = zap.New(core)
	conn, done := begin(t, cfg, "tcp")
	long := strings.Repeat("n", 5000)
	_ = exchange(t, conn, long, "hunter2", false)
	_ = conn.Close()
	<-done
	for _, entry := range logs.All() {
		line := fmt.Sprintf("%s %v", entry.Message, entry.ContextMap())
		if strings.Contains(line, "hunter2") || len(line) > 1000 {
			t.Errorf("%d bytes: %.200s", len(line), line)
		}
	}
}

func TestParseInitialResponse(t *testing.T) {
	for _, test := range []struct {
		body, mechanism string
		first           []byte
		ok              bool
	}{
		{"M\x00\x00\x00\x00\x03n,,", "M", []byte("n,,"), true},
		{"M\x00\x00\x00\x00\x00", "M", []byte{}, true},
		{"M\x00\xff\xff\xff\xff", "M", nil, true},
		{"\x00\xff\xff\xff\xff", "", nil, true},
		{"", "", nil, false},
		{"M", "", nil, false},
		{"M\x00\x00\x00\x00", "", nil, false},
		{"M\x00\x00\x00\x00\x04n,,", "", nil, false},
		{"M\x00\x00\x00\x00\x02n,,", "", nil, false},
		{"M\x00\xff\xff\xff\xfe", "", nil, false},
		{"M\x00\xff\xff\xff\xffx", "", nil, false},
	} {
		mechanism, first, err := parseInitialResponse([]byte(test.body))
		if (err == nil) != test.ok || mechanism != test.mechanism || string(first) != string(test.first) || (first == nil) != (test.first == nil) {
			t.Errorf("%q: %q %q %v", test.body, mechanism, first, err)
		}
	}
}
