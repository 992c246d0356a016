package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the operating-system account that the server runs as: our own, or, because PostgreSQL refuses to run as
// root, another one when we are root.
//
// What root writes for the server stays root's and is merely readable by the account's group, so that a server that has
// been taken over cannot point root's writes elsewhere with symbolic links. Only data and socket belong to the server.
type account struct {
	other    bool // not our own
	uid, gid int
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{other: true, uid: uid, gid: gid}, nil
		}
	}
	return account{}, errors.New(`PostgreSQL refuses to run as root, and there is no account "postgres" or "nobody" to run it as`)
}

// attributes of a process that runs as the account, in a session of its own: a Ctrl-C at the terminal must reach the
// owner only, which then stops the server in its own time.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.other {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// makeOwnDir makes a directory that belongs to the account and that nobody else may enter.
func (a account) makeOwnDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// makeReadableDir makes a directory of ours that the account may read.
func (a account) makeReadableDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return a.makeReadable(path, 0o750)
}

// writeFile writes a file of ours that the account, and nobody else, may read.
func (a account) writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return a.makeReadable(path, 0o640)
}

func (a account) makeReadable(path string, mode os.FileMode) error {
	if !a.other {
		return nil
	}
	if err := os.Chown(path, -1, a.gid); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// canReach reports whether the account may enter every directory on the way to path, path included.
func (a account) canReach(path string) bool {
	if !a.other {
		return true
	}
	for {
		info, err := os.Stat(path)
		if err != nil || !a.mayEnter(info) {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}

func (a account) mayEnter(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// maxSocketDir is how long the path of a cluster may be: the kernel takes socket paths of 107 bytes (unix(7)), of which
// "/socket/.s.PGSQL.65535.lock" needs 27.
const maxSocketDir = 107 - 27

// makeClusterDir makes, or takes when it is empty, the directory of a cluster.
func makeClusterDir(wanted string, a account) (string, error) {
	if wanted != "" {
		return takeClusterDir(wanted, a)
	}
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		parent, err := filepath.EvalSymlinks(parent)
		if err != nil || !a.canReach(parent) {
			continue
		}
		dir, err := os.MkdirTemp(parent, "pgtier-pg-")
		if err != nil {
			continue
		}
		if len(dir) <= maxSocketDir {
			return dir, a.makeReadable(dir, 0o750)
		}
		if err := os.Remove(dir); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("no temporary directory that account %d may enter: set TMPDIR", a.uid)
}

func takeClusterDir(dir string, a account) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty; choose a new directory for the cluster", dir)
	}
	// The server's own idea of its directory, which the reaper compares, has no symbolic links.
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", err
	}
	if len(dir) > maxSocketDir {
		return "", fmt.Errorf("%s is too long for a Unix socket in it (%d bytes, at most %d)", dir, len(dir), maxSocketDir)
	}
	if err := a.makeReadable(dir, 0o750); err != nil {
		return "", err
	}
	if !a.canReach(dir) {
		return "", fmt.Errorf("%s: the account that PostgreSQL runs as (uid %d) may not enter it or a directory above it", dir, a.uid)
	}
	return dir, nil
}
