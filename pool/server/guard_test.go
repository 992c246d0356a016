package server

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pgtier/pgtier/integration/fakepg"
)

func sasl(first string) []byte { return fakepg.Frame('R', "\x00\x00\x00\x0b"+first) }

func TestGuard(t *testing.T) {
	for _, test := range []struct {
		name   string
		stream []byte
		want   string // in the error; "" = everything passes
	}{
		{"an honest login", append(sasl("r=abc,s=c2FsdA==,i=4096"), welcome()...), ""},
		{"the most iterations", sasl("r=abc,s=c2FsdA==,i=1000000"), ""},
		{"no iterations", sasl("r=abc,s=c2FsdA=="), ""},
		{"one too many", sasl("r=abc,s=c2FsdA==,i=1000001"), "iterations"},
		{"hidden behind a good one", sasl("r=abc,s=c2FsdA==,i=4096,i=1000001"), "iterations"},
		{"0", sasl("r=abc,s=c2FsdA==,i=0"), "iterations"},
		{"2^31", sasl("r=abc,s=c2FsdA==,i=2147483648"), "iterations"},
		{"beyond 64 bits", sasl("r=abc,s=c2FsdA==,i=" + strings.Repeat("9", 100)), "iterations"},
		{"the longest message", fakepg.Frame('N', strings.Repeat("x", maxLoginMessage-5)), ""},
		{"a longer one", fakepg.FrameWithLength('N', maxLoginMessage, ""), "length"},
		{"a shorter one than itself", fakepg.FrameWithLength('N', 3, ""), "length"},
		{"a negative one", fakepg.FrameWithLength('N', 1<<31, ""), "length"},
		{"too much", bytes.Repeat(fakepg.Frame('N', strings.Repeat("x", 1000)), 1100), "more than"},
		{"an empty request", fakepg.Frame('R', ""), ""},
	} {
		for way, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader,
		} {
			out, err := io.ReadAll(newGuard(wrap(bytes.NewReader(test.stream))))
			switch {
			case test.want == "" && (err != nil || !bytes.Equal(out, test.stream)):
				t.Errorf("%s, %s: %v", test.name, way, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%s, %s: passes, or %v", test.name, way, err)
			}
		}
	}
}

// FuzzGuard: what passes does not depend on where the stream is cut, and nothing is invented.
func FuzzGuard(f *testing.F) {
	f.Add(append(sasl("r=abc,s=c2FsdA==,i=4096"), welcome()...))
	f.Add(sasl("r=abc,s=c2FsdA==,i=0"))
	f.Add(fakepg.FrameWithLength('R', 5, "xxx"))
	f.Add([]byte("HTTP/1.1 400 Bad Request"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, errWhole := io.ReadAll(newGuard(bytes.NewReader(stream)))
		cut, errCut := io.ReadAll(newGuard(iotest.OneByteReader(bytes.NewReader(stream))))
		if (errWhole == nil) != (errCut == nil) {
			t.Fatalf("whole: %v, cut: %v", errWhole, errCut)
		}
		if !bytes.HasPrefix(stream, whole) || !bytes.HasPrefix(stream, cut) || errCut == nil && len(cut) != len(stream) {
			t.Fatal("the stream was changed")
		}
	})
}
