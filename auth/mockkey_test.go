package auth

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMockKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tls.key")
	if err := os.WriteFile(file, []byte("a private key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if first, again := newMockKey(file), newMockKey(file); first != again {
		t.Error("a restart changes the salts of unknown names")
	}
	if first, again := newMockKey(""), newMockKey(""); first == again {
		t.Error("without TLS the key is not random")
	}
}
