package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// secret is one place that a secret comes from. Exactly one of inline, env, file and command is set.
type secret struct {
	t       *table
	name    string // the key it is for
	pos     Pos
	inline  string
	env     string
	file    string
	command []string
	timeout time.Duration
}

// maxSecret bounds what is read of a secret file or a command's output.
const maxSecret = 64 << 10

const secretForms = `{ file = ".." } | { env = ".." } | { command = [..] }`

// secrets reads the sources of a secret, nil when the key is absent: one, or a list of them while rotating. It checks their
// form; nothing is fetched before value is called.
func (t *table) secrets(name string) []secret {
	v, ok := t.vals[name]
	if !ok {
		return nil
	}
	var list []any
	switch v := v.(type) {
	case []any:
		list = v
	case []map[string]any:
		for _, e := range v {
			list = append(list, e)
		}
	default:
		return t.secret(nil, name, v, t.at(name), t.n.child(name))
	}
	if len(list) == 0 {
		t.failf(name, "%q must not be an empty list", name)
	}
	var out []secret
	for i, e := range list {
		out = t.secret(out, name, e, t.itemAt(name, i), t.n.child(name).item(i))
	}
	return out
}

// secret appends the source v to out when it is a sound one.
func (t *table) secret(out []secret, name string, v any, pos Pos, n *node) []secret {
	switch v := v.(type) {
	case string:
		switch bad := badText(v); {
		case !t.d.inline:
			t.d.failf(pos, "%q must not be written here; write %s, or inline_secrets = true at the top of the file", name, secretForms)
		case bad != "":
			t.d.failf(pos, "%q must not %s", name, bad)
		default:
			return append(out, secret{t: t, name: name, pos: pos, inline: v})
		}
	case map[string]any:
		s := newTable(t.d, kindSecret, t.join(name), v, n)
		one := secret{t: t, name: name, pos: pos, env: s.str("env"), file: s.str("file"), command: s.strs("command")}
		one.timeout = s.duration("timeout", defaultCommandWait)
		if s.sources() != 1 {
			t.d.failf(pos, "write exactly one of: %s = %s", name, secretForms)
			return out
		}
		if s.has("timeout") && !s.has("command") {
			s.failf("timeout", `"timeout" is for { command = [..] } only`)
		}
		if one.timeout == 0 {
			s.failf("timeout", `the "timeout" of a command must not be off`)
			return out
		}
		return append(out, one)
	default:
		t.d.failf(pos, "%q must be %s", name, secretForms)
	}
	return out
}

func (t *table) sources() (n int) {
	for _, key := range []string{"env", "file", "command"} {
		if t.has(key) {
			n++
		}
	}
	return n
}

// values fetches all of list. What fails is reported and left out.
func (d *decoder) values(list []secret) []string {
	var out []string
	for _, s := range list {
		if v, ok := s.value(); ok {
			out = append(out, v)
		}
	}
	return out
}

// value fetches the secret. A failure is reported, without any part of the value.
func (s secret) value() (string, bool) {
	var v string
	var err error
	switch {
	case s.inline != "":
		return s.inline, true
	case s.env != "":
		v, err = s.fromEnv()
	case s.file != "":
		v, err = s.fromFile()
	case len(s.command) > 0:
		v, err = s.fromCommand()
	default: // its form was reported
		return "", false
	}
	if err == nil {
		if v = strings.TrimRight(v, "\r\n"); v == "" {
			err = fmt.Errorf("%s is empty", s.source())
		} else if strings.ContainsRune(v, 0) {
			err = fmt.Errorf("%s contains a zero byte", s.source())
		}
	}
	if err != nil {
		s.t.d.failf(s.pos, "%v", err)
		return "", false
	}
	return v, true
}

// source names where the secret comes from. Of a command, only the program: arguments may be secrets too.
func (s secret) source() string {
	switch {
	case s.env != "":
		return "environment " + s.env
	case s.file != "":
		return "secret file " + s.file
	case len(s.command) > 0:
		return "secret command " + s.command[0]
	}
	return s.name
}

func (s secret) fromEnv() (string, error) {
	v, ok := s.t.d.env(s.env)
	if !ok {
		return "", fmt.Errorf("environment %s is not set", s.env)
	}
	return v, nil
}

func (s secret) fromFile() (string, error) {
	b, err := readPrivate(s.t.d.path(s.file), maxSecret)
	if err != nil {
		return "", fmt.Errorf("secret file %s %w", s.file, err)
	}
	return string(b), nil
}

// readPrivate reads a file that others may not read or change. Its errors continue a sentence that begins with the file's
// name.
func readPrivate(path string, most int64) ([]byte, error) { return readRegular(path, most, private) }

// readRegular reads a regular file of at most so many bytes whose mode passes check. Its errors continue a sentence that
// begins with the file's name.
func readRegular(path string, most int64, check func(fs.FileMode) error) ([]byte, error) {
	// Non-blocking, because opening a named pipe would wait for a writer; the mode is asked of what was opened, because a
	// name can come to mean another file.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	if err := check(info.Mode()); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	case int64(len(b)) > most:
		return nil, fmt.Errorf("is larger than %d KiB", most>>10)
	}
	return b, nil
}

// private refuses the mode of a file that everyone may read or change.
func private(mode fs.FileMode) error {
	switch perm := mode.Perm(); {
	case perm&0o004 != 0:
		return fmt.Errorf("is readable by everyone (%04o); chmod 0640", perm)
	case perm&0o002 != 0:
		return fmt.Errorf("is writable by everyone (%04o); chmod 0640", perm)
	}
	return nil
}

// fromCommand runs a program without a shell. Nothing that it writes is ever shown: its standard error may hold the secret
// as well as its output.
func (s secret) fromCommand() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	out := &bounded{most: maxSecret}
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Stdout = out
	// The program may have started others that hold the pipe open: all of them end, and we do not wait for the pipe.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("secret command %s did not finish within %s", s.command[0], s.timeout)
	case out.over:
		return "", fmt.Errorf("secret command %s wrote more than %d KiB", s.command[0], maxSecret>>10)
	case errors.As(err, &exit):
		return "", fmt.Errorf("secret command %s failed (%s); its output is not shown", s.command[0], exit.ProcessState)
	case err != nil:
		return "", fmt.Errorf("secret command %s cannot be run: %w", s.command[0], startFailure(err))
	}
	return out.buf.String(), nil
}

// startFailure is why a program could not be started, without the path that the message names already.
func startFailure(err error) error {
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		return lookup.Err
	}
	return reason(err)
}

// bounded keeps the first bytes written to it and forgets the rest. The buffer is not embedded: its ReadFrom would be used
// instead of Write.
type bounded struct {
	buf  bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.most {
		b.over = true
		return len(p), nil
	}
	return b.buf.Write(p)
}
