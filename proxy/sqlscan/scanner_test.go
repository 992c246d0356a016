package sqlscan

import (
	"fmt"
	"strings"
	"testing"
)

func TestScanner(t *testing.T) {
	kinds := map[TokenKind]string{Word: "w", Quoted: "q", UQuoted: "uq", Number: "n", Param: "p", String: "s", EString: "es",
		UString: "us", Dollar: "d", Bits: "b", Symbol: ".", Bad: "bad"}
	tests := []struct{ sql, want string }{
		{"a1$b _é", "w:a1$b w:_é"},
		{"1 1.5 .5 1. 1..2 1e5 1e 1.5E-3x", "n:1 n:1.5 n:.5 n:1. n:1 .:. n:.2 n:1e5 n:1 w:e n:1.5E-3 w:x"},
		{"$1 $a $a$x$a$ $1$a$x$a$", "p:$1 .:$ w:a d:$a$x$a$ p:$1 d:$a$x$a$"},
		{"'a''b' 'a'\n -- x\n'b' 'c'", "s:'a''b' s:'a'|-- x|'b' s:'c'"},
		{`e'\'' E'a\\' ee'a'`, `es:e'\'' es:E'a\\' w:ee s:'a'`},
		{"b'01' X'1f' n'x'", "b:b'01' b:X'1f' w:n s:'x'"},
		{`"a""b" U&"x" uescape 'y'`, `q:"a""b" uq:U&"x"uescape'y'`},
		{`U&'x' UESCAPE $$!$$ u & 'x'`, `us:U&'x'UESCAPE$$!$$ w:u .:& s:'x'`},
		{`U&"x" UESCAPE 'ab'`, "bad:*"},
		{`U&"x" UESCAPE U&'!'`, "bad:*"},
		{`U&"x" UESCAPE 'a'`, "bad:*"},
		{`U&"x" uescaped`, `uq:U&"x" w:uescaped`},
		{"a--b\rc/*/**/*/d/", "w:a w:c w:d .:/"},
		{"\"", "bad:*"}, {`""`, "bad:*"}, {"a 'x", "w:a bad:*"}, {"a $b$", "w:a bad:*"}, {"a /* ", "w:a bad:*"}, {"a \x00 b", "w:a bad:*"},
	}
	for _, tt := range tests {
		var got []string
		s := NewScanner([]byte(tt.sql))
		for tok := s.Next(); tok.Kind != EOF; tok = s.Next() {
			text := strings.ReplaceAll(strings.ReplaceAll(tt.sql[tok.Start:tok.End], " ", ""), "\n", "|")
			if tok.Kind == Bad {
				text = "*"
			}
			got = append(got, fmt.Sprintf("%s:%s", kinds[tok.Kind], strings.ReplaceAll(text, "--x", "-- x")))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.sql, strings.Join(got, " "), tt.want)
		}
	}
}

func TestAppendString(t *testing.T) {
	tests := []struct {
		sql, want string
		ok        bool
	}{
		{"'a''b'", "a'b", true},
		{"'a' -- it's\n'b'\r'''c'", "ab'c", true},
		{`E'\b\f\n\r\t\q\'\\'`, "\b\f\n\r\tq'\\", true},
		{`E'\101\x42\x4\xg\u0043\U00000044\uD83D\uDE00'`, "AB\x04xgCD😀", true},
		{`E'\400'`, "", false}, {`E'\0'`, "", false}, {`E'\v'`, "", false}, {`E'\x00'`, "", false}, {`E'\u00'`, "", false}, {`E'\uD83Dx'`, "", false},
		{`E'\uDE00'`, "", false}, {`E'\uD83D\u0041'`, "", false}, {`E'\U00110000'`, "", false},
		{`U&'\0061\+000062\\''' UESCAPE '\'`, `ab\'`, true},
		{`U&'d!0061t\a' UESCAPE '!'`, `dat\a`, true},
		{"U&'\\D83D'\n'\\DE00'", "😀", true},
		{`U&'\D83Dx'`, "", false}, {`U&'\006'`, "", false}, {`U&'\+110000'`, "", false}, {`U&'\0000'`, "", false}, {`U&'a\'`, "", false},
		{"$x$a$b$x$", "a$b", true},
		{"b'1'", "", false}, {"a", "", false},
	}
	for _, tt := range tests {
		s := NewScanner([]byte(tt.sql))
		tok := s.Next()
		got, ok := AppendString(nil, []byte(tt.sql), tok)
		if ok != tt.ok || ok && string(got) != tt.want || ok && tok.End != len(tt.sql) {
			t.Errorf("%s: %q, %v", tt.sql, got, ok)
		}
	}
}
