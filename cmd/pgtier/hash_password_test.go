package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/auth/scram"
)

func hashPassword(stdin string, args ...string) (stdout string, err error) {
	var out bytes.Buffer
	cmd := newHashPasswordCommand()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.Execute()
	return out.String(), err
}

func TestHashPassword(t *testing.T) {
	for stdin, password := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", " a b \nmore\n": " a b ",
		"pa\u00a0ss\n": "pa ss", "\xff\n": "\xff",
	} {
		out, err := hashPassword(stdin)
		if err != nil {
			t.Errorf("%q: %v", stdin, err)
			continue
		}
		v, err := scram.ParseVerifier(strings.TrimSuffix(out, "\n"))
		if err != nil || v.Iterations() != 4096 || len(v.Salt()) != 16 || v != scram.Mint(password, v.Salt(), 4096) {
			t.Errorf("%q: %q, %v", stdin, out, err)
		}
	}
}

func TestHashPasswordFlags(t *testing.T) {
	first, err := hashPassword("old", "--iterations", "5000")
	if err != nil {
		t.Fatal(err)
	}
	second, err := hashPassword("new", "--like", strings.TrimSpace(first))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := scram.ParseVerifier(strings.TrimSpace(first))
	b, _ := scram.ParseVerifier(strings.TrimSpace(second))
	if _, err := scram.NewSecret(a, b); err != nil || a.Iterations() != 5000 || a == b {
		t.Errorf("the two do not go together: %v", err)
	}
}

func TestHashPasswordRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		stdin string
		args  []string
	}{
		"empty":           {"", nil},
		"empty line":      {"\nsecret\n", nil},
		"zero byte":       {"a\x00b", nil},
		"too long":        {strings.Repeat("x", maxPasswordSize+1), nil},
		"much too long":   {strings.Repeat("x", 3*maxPasswordSize), nil},
		"a verifier":      {scram.Mint("x", scram.NewSalt(), 4096).Encode(), nil},
		"few iterations":  {"secret", []string{"--iterations", "1000"}},
		"many iterations": {"secret", []string{"--iterations", "100000000"}},
		"like nothing":    {"hunter2", []string{"--like", "hunter2"}},
		"both":            {"secret", []string{"--iterations", "5000", "--like", scram.Mint("x", scram.NewSalt(), 4096).Encode()}},
		"an argument":     {"hunter2", []string{"hunter2"}},
	} {
		out, err := hashPassword(test.stdin, test.args...)
		if err == nil {
			t.Errorf("%s: printed %q", name, out)
		} else if test.stdin != "" && strings.Contains(err.Error(), test.stdin) {
			t.Errorf("%s: the error repeats the password: %v", name, err)
		}
	}
	if out, err := hashPassword(strings.Repeat("x", maxPasswordSize)); err != nil || !strings.HasPrefix(out, "SCRAM-SHA-256$") {
		t.Errorf("the longest password: %v", err)
	}
}
