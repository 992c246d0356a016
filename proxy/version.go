package proxy

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is "pgtier v1.2.3 (commit 0123456789ab, go1.26.0, linux/amd64)". The linker and the go command know all of it.
func Version() string {
	name, commit := "(devel)", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" {
			name = v
		}
		modified := ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value[:min(12, len(s.Value))]
			case "vcs.modified":
				if s.Value == "true" {
					modified = " with changes"
				}
			}
		}
		commit += modified
	}
	return fmt.Sprintf("pgtier %s (commit %s, %s, %s/%s)", name, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
