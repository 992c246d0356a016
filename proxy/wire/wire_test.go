package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		in   string
		typ  byte
		size int
		ok   bool
	}{
		{"S\x00\x00\x00\x04", 'S', 5, true},
		{"Q\x00\x00\x00\x05\x00", 'Q', 6, true},
		{"Q\x00\x00\x00\x03", 'Q', 0, false},
		{"Q\x00\x00\x00\x00", 'Q', 0, false},
		{"Q\x3f\xff\xff\xff", 'Q', MaxFrame, true},
		{"Q\x40\x00\x00\x00", 'Q', 0, false},
		{"Q\x7f\xff\xff\xff", 'Q', 0, false},
		{"Q\x80\x00\x00\x00", 'Q', 0, false},
		{"Q\xff\xff\xff\xff", 'Q', 0, false},
		{"\x00\x00\x00\x00\x04", 0, 5, true},
	} {
		if typ, size, ok := Header([]byte(tt.in)); typ != tt.typ || size != tt.size || ok != tt.ok {
			t.Errorf("Header(%q) = %q, %d, %v; want %q, %d, %v", tt.in, typ, size, ok, tt.typ, tt.size, tt.ok)
		}
	}
}

func TestCString(t *testing.T) {
	for _, tt := range []struct {
		in, s, rest string
		ok          bool
	}{
		{"\x00", "", "", true},
		{"a\x00", "a", "", true},
		{"name\x00the rest\x00", "name", "the rest\x00", true},
		{"", "", "", false},
		{"no end", "", "", false},
	} {
		if s, rest, ok := CString([]byte(tt.in)); string(s) != tt.s || string(rest) != tt.rest || ok != tt.ok {
			t.Errorf("CString(%q) = %q, %q, %v", tt.in, s, rest, ok)
		}
	}
}

func TestValue(t *testing.T) {
	for _, tt := range []struct {
		in, value, rest string
		null, ok        bool
	}{
		{"\x00\x00\x00\x00", "", "", false, true},
		{"\x00\x00\x00\x02abc", "ab", "c", false, true},
		{"\xff\xff\xff\xffabc", "", "abc", true, true},
		{"\xff\xff\xff\xfeabc", "", "", true, false},
		{"\x80\x00\x00\x00", "", "", true, false},
		{"\x7f\xff\xff\xffabc", "", "", true, false},
		{"\x00\x00\x00\x04abc", "", "", true, false},
		{"\x00\x00\x00", "", "", true, false},
		{"", "", "", true, false},
	} {
		value, rest, ok := Value([]byte(tt.in))
		if string(value) != tt.value || string(rest) != tt.rest || ok != tt.ok || (value == nil) != tt.null {
			t.Errorf("Value(%q) = %q, %q, %v", tt.in, value, rest, ok)
		}
		if ok && value != nil && cap(value) != len(value) {
			t.Errorf("Value(%q): appending to the value would write over what follows", tt.in)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want string
	}{
		{"Query", string(AppendQuery(nil, "select 1")), "Q\x00\x00\x00\x0dselect 1\x00"},
		{"ParameterStatus", string(AppendParameterStatus(nil, "a", "bc")), "S\x00\x00\x00\x09a\x00bc\x00"},
		{"ReadyForQuery", string(AppendReadyForQuery(nil, InTx)), "Z\x00\x00\x00\x05T"},
		{"BackendKeyData", string(AppendBackendKeyData(nil, 0x01020304, []byte{5, 6, 7, 8})), "K\x00\x00\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08"},
		{"Sync", string(AppendEmpty(nil, Sync)), "S\x00\x00\x00\x04"},
		{"CommandComplete", string(AppendCommandComplete(nil, "BEGIN")), "C\x00\x00\x00\x0aBEGIN\x00"},
		{"behind something", string(AppendQuery([]byte("before"), "")), "beforeQ\x00\x00\x00\x05\x00"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestEndLength(t *testing.T) {
	b, at := Begin([]byte("x"), Parse)
	b = EndLength(append(b, "the beginning"...), at, 1000)
	if _, size, ok := Header(b[1:]); !ok || size != 1001 {
		t.Errorf("size %d, %v", size, ok)
	}
}

// FuzzHeader: a frame that Header accepts is one that Begin and End would have written.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("S\x00\x00\x00\x04"))
	f.Add([]byte("Q\x00\x00\x00\x0dselect 1\x00"))
	f.Add([]byte("Q\xff\xff\xff\xff"))
	f.Add([]byte("Q\x3f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderSize {
			return
		}
		typ, size, ok := Header(b)
		if n := binary.BigEndian.Uint32(b[1:]); ok != (n >= 4 && n < MaxFrame) || ok && size != int(n)+1 {
			t.Fatalf("Header(%q) = %d, %v", b[:HeaderSize], size, ok)
		}
		if !ok || size > len(b) {
			return
		}
		again, at := Begin(nil, typ)
		if again = End(append(again, b[HeaderSize:size]...), at); !bytes.Equal(again, b[:size]) {
			t.Fatalf("%q became %q", b[:size], again)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02abc"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x80\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			value, rest, ok := Value(b)
			if !ok {
				return
			}
			if len(value)+len(rest)+4 != len(b) {
				t.Fatalf("%d and %d of %d bytes", len(value), len(rest), len(b))
			}
			b = rest
		}
	})
}

func TestNoAllocations(t *testing.T) {
	frame, dst := AppendQuery(nil, "select 1"), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		_, _, _ = Header(frame)
		_, _, _ = CString(frame[HeaderSize:])
		_ = AppendReadyForQuery(AppendEmpty(AppendQuery(dst, "select 1"), Sync), Idle)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNotificationChannel(t *testing.T) {
	for _, tt := range []struct {
		in, channel string
		ok          bool
	}{
		{"A\x00\x00\x00\x0a\x00\x00\x00\x07a\x00\x00", "a", true},
		{"A\x00\x00\x00\x0a\x00\x00\x00\x07\x00\x00", "", true},
		{"A\x00\x00\x00\x0a\x00\x00\x00\x07a", "", false},
		{"A\x00\x00\x00\x0a\x00\x00", "", false},
		{"", "", false},
	} {
		if channel, ok := NotificationChannel([]byte(tt.in)); string(channel) != tt.channel || ok != tt.ok {
			t.Errorf("NotificationChannel(%q) = %q, %v", tt.in, channel, ok)
		}
	}
}
