package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// The environment variables that say where PostgreSQL is.
const (
	// EnvBin names the directory of the server's programs. When it is set nothing else is looked at.
	EnvBin = "PGTIER_PG_BIN"
	// EnvCache names a directory into which integration/scripts/install-matrix.sh put several versions.
	EnvCache = "PGTIER_CACHE"
)

// ErrNoServer is what FindBinaries returns when it found no PostgreSQL server on this machine.
var ErrNoServer = errors.New("no PostgreSQL server programs found: install the package postgresql, or set " + EnvBin)

// Binaries is one installation of PostgreSQL's programs.
type Binaries struct {
	Dir     string // holds postgres and initdb
	Version string // as `postgres --version` says it: "15.20"
	Major   int    // 15
}

// FindBinaries looks for an installation: in dir when it is not empty, else in $PGTIER_PG_BIN when that is set, else in
// $PATH, in /usr/lib/postgresql/*/bin (Debian; newest first), /usr/pgsql-*/bin (RPM) and $PGTIER_CACHE, in that order.
// With a major version that is not 0 installations of other versions do not count.
func FindBinaries(ctx context.Context, dir string, major int) (Binaries, error) {
	if dir == "" {
		dir = os.Getenv(EnvBin)
	}
	if dir != "" {
		b, err := readBinaries(ctx, dir)
		if err == nil && major != 0 && b.Major != major {
			err = fmt.Errorf("%s holds PostgreSQL %s, wanted %d", dir, b.Version, major)
		}
		return b, err
	}
	for _, dir := range installedDirs() {
		if b, err := readBinaries(ctx, dir); err == nil && (major == 0 || b.Major == major) {
			return b, nil
		}
	}
	if major != 0 {
		return Binaries{}, fmt.Errorf("%w (version %d)", ErrNoServer, major)
	}
	return Binaries{}, ErrNoServer
}

// Tool returns the path of a client program (psql, pgbench): beside the server's, else from the newest installed
// version, else from $PATH. Debian's $PATH comes last because its psql is a wrapper that chooses a version by itself.
func (b Binaries) Tool(name string) (string, error) {
	for _, dir := range append([]string{b.Dir}, packagedDirs()...) {
		if path := filepath.Join(dir, name); isProgram(path) {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

func installedDirs() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// The link's target: initdb looks for its share directory relative to where it really lives.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	dirs = append(dirs, packagedDirs()...)
	if cache := os.Getenv(EnvCache); cache != "" {
		dirs = append(dirs, newestFirst(filepath.Join(cache, "postgres/node_modules/postgres-*/native/bin"))...)
	}
	return dirs
}

func packagedDirs() []string {
	return append(newestFirst("/usr/lib/postgresql/*/bin"), newestFirst("/usr/pgsql-*/bin")...)
}

var firstNumber = regexp.MustCompile(`[0-9]+`)

// newestFirst returns the directories that match a pattern, ordered by the version number where the pattern has its star.
func newestFirst(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		panic("BUG: bad pattern " + pattern)
	}
	version := func(dir string) int {
		star := slices.Index([]byte(pattern), '*')
		n, _ := strconv.Atoi(firstNumber.FindString(dir[star:])) // no number: 0, last
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

var serverVersion = regexp.MustCompile(`PostgreSQL\) (([0-9]+)[^ \n]*)`)

func readBinaries(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if path := filepath.Join(dir, name); !isProgram(path) {
			return Binaries{}, fmt.Errorf("%w: %s is not a program", ErrNoServer, path)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s/postgres --version: %w", dir, err)
	}
	m := serverVersion.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("%s/postgres --version said %q", dir, out)
	}
	major, err := strconv.Atoi(string(m[2]))
	if err != nil {
		return Binaries{}, fmt.Errorf("%s/postgres --version: %w", dir, err)
	}
	return Binaries{Dir: dir, Version: string(m[1]), Major: major}, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
