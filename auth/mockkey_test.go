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
	if newMockKey(file) != newMockKey(file) {
		t.Error("a restart changes the salts of unknown names")
	}
	if newMockKey("") == newMockKey("") {
		t.Error("without TLS the key is not random")
	}
}
