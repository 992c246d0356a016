package config

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// isVerifier says whether s is a SCRAM verifier as in pg_authid: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>,
// the keys of 32 bytes (PostgreSQL, src/backend/libpq/auth-scram.c, parse_scram_secret).
func isVerifier(s string) bool {
	rest, ok := strings.CutPrefix(s, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	head, keys, ok := strings.Cut(rest, "$")
	if !ok {
		return false
	}
	iterations, salt, ok1 := strings.Cut(head, ":")
	stored, server, ok2 := strings.Cut(keys, ":")
	n, err := strconv.ParseUint(iterations, 10, 31)
	return ok1 && ok2 && err == nil && n > 0 && length(salt) > 0 && length(stored) == 32 && length(server) == 32
}

// length is how many bytes s encodes, -1 when it is not base64.
func length(s string) int {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return -1
	}
	return len(b)
}
