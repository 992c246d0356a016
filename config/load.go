package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// Env looks up an environment variable; os.LookupEnv is one.
type Env func(name string) (value string, ok bool)

// searched are the places that Find tries when nobody names a file.
var searched = []string{"pgtier.toml", "/etc/pgtier/pgtier.toml"}

// maxFile is far more than anybody writes; a bigger file is the wrong file.
const maxFile = 16 << 20

// Find returns the path of the configuration file: flag when not empty, then $PGTIER_CONFIG when not empty, then
// ./pgtier.toml, then /etc/pgtier/pgtier.toml. Of the last two the first that exists is taken; the first two are taken as
// they are, so that a mistake in them is reported rather than passed over.
func Find(flag string, env Env) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if v, _ := env("PGTIER_CONFIG"); v != "" {
		return v, nil
	}
	for _, path := range searched {
		// A file that is there but cannot be looked at is taken: Load says what is wrong with it.
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration file: write one of %s, or name one with --config or $PGTIER_CONFIG",
		strings.Join(searched, ", "))
}

// Load reads and checks the file at path and resolves its secrets: environment variables, files and commands. With any
// finding the *Config is nil: a configuration is either wholly right or not used. It does not change anything and needs no
// server; it may be called from several goroutines.
func Load(path string, env Env) (*Config, Findings) {
	fail := func(format string, args ...any) (*Config, Findings) {
		return nil, Findings{{Pos{File: path}, fmt.Sprintf(format, args...)}}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fail("cannot read the file: %v", reason(err))
	case !info.Mode().IsRegular():
		return fail("is not a regular file")
	case info.Size() > maxFile:
		return fail("is larger than %d MiB", maxFile>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail("cannot read the file: %v", reason(err))
	}
	return load(path, data, env, info.Mode())
}

// LoadBytes is Load for a text that is already in memory; name stands for the file in messages, and relative paths are
// relative to its directory.
func LoadBytes(name string, data []byte, env Env) (*Config, Findings) {
	return load(name, data, env, 0)
}

// load reads data. mode is that of the file, 0 when there is none.
func load(name string, data []byte, env Env, mode fs.FileMode) (*Config, Findings) {
	d := &decoder{
		file:  name,
		dir:   filepath.Dir(name),
		env:   env,
		mode:  mode,
		where: map[any]*table{},
		cfg:   &Config{File: name},
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	var vals map[string]any
	if _, err := toml.Decode(text, &vals); err != nil {
		return nil, Findings{d.syntax(text, err)}
	}
	d.cfg.keys = index(name, text)
	d.decode(newTable(d, kindTop, "", vals, d.cfg.keys))
	d.check()
	if len(d.findings) > 0 {
		return nil, d.findings.sorted()
	}
	return d.cfg, nil
}

// syntax is a finding for what the TOML library said about text. Its messages may quote the value that it stumbled over.
func (d *decoder) syntax(text string, err error) Finding {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return Finding{Pos{File: d.file}, "is not TOML"}
	}
	message := strings.TrimSuffix(parse.Message, ".")
	for _, word := range []string{"password", "url", "scram"} {
		if strings.Contains(parse.LastKey, word) && !strings.HasPrefix(message, "Key ") {
			message = "the value is not valid TOML; it is not shown"
		}
	}
	// The library's lines are those where it stopped reading, its offsets those of the mistake.
	offset := max(0, min(parse.Position.Start, len(text)))
	return Finding{newIndexer(d.file, text).pos(offset), message}
}

// reason is err without the path that the message names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
