package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeInstall makes programs that say they are a version of PostgreSQL.
func fakeInstall(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	cache := t.TempDir()
	old := fakeInstall(t, filepath.Join(cache, "postgres/node_modules/postgres-98/native/bin"), "98.1 (Debian 98.1-1)")
	newer := fakeInstall(t, filepath.Join(cache, "postgres/node_modules/postgres-101/native/bin"), "101beta2")
	t.Setenv(EnvBin, "")
	t.Setenv(EnvCache, cache)

	b, err := FindBinaries(t.Context(), "", 98)
	if want := (Binaries{Dir: old, Version: "98.1", Major: 98}); err != nil || b != want {
		t.Errorf("version 98 in the cache: %+v, %v", b, err)
	}
	if b, err = FindBinaries(t.Context(), newer, 0); err != nil || b.Major != 101 {
		t.Errorf("by directory: %+v, %v", b, err)
	}
	if _, err = FindBinaries(t.Context(), newer, 98); err == nil || !strings.Contains(err.Error(), "wanted 98") {
		t.Errorf("the wrong version by directory: %v", err)
	}
	t.Setenv(EnvBin, old)
	if b, err = FindBinaries(t.Context(), "", 0); err != nil || b.Dir != old {
		t.Errorf("by environment: %+v, %v", b, err)
	}
	t.Setenv(EnvBin, t.TempDir())
	if _, err = FindBinaries(t.Context(), "", 0); !errors.Is(err, ErrNoServer) {
		t.Errorf("an empty directory in the environment: %v", err)
	}
}

func TestNewestFirst(t *testing.T) {
	root := t.TempDir()
	for _, v := range []string{"9.6", "15", "old", "14"} {
		if err := os.MkdirAll(filepath.Join(root, v, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, dir := range newestFirst(filepath.Join(root, "*/bin")) {
		got = append(got, filepath.Base(filepath.Dir(dir)))
	}
	if want := []string{"15", "14", "9.6", "old"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCanReach(t *testing.T) {
	stranger := account{other: true, uid: 65533, gid: 65533}
	dir := t.TempDir()
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if stranger.canReach(inner) {
		t.Error("a stranger reaches through a private directory")
	}
	if !stranger.canReach("/usr/bin") {
		t.Error("a stranger cannot reach /usr/bin")
	}
}
