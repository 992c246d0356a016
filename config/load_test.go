package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// world is a directory with secret files, and an environment.
func world(t *testing.T) (dir string, env Env) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"epmt-ro":        "ro-secret\n",
		"epmt-rw":        "rw-secret",
		"epmt-admin-url": "postgresql://epmt-admin:adm%21n@db1.example:5433/EPMT?sslmode=require\n",
	} {
		write(t, filepath.Join(dir, name), text, 0o600)
	}
	vars := map[string]string{"INGEST_PASSWORD": "ingest-secret", "EMPTY": ""}
	return dir, func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

const verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// epmt is the smallest real file of the design, without what is not supported yet.
const epmt = `config_version = 1

[listen]
address  = "127.0.0.1:6432"

[servers.main]
host        = "db1.example"
port        = 5432
sslmode     = "verify-full"
sslrootcert = "system"

[databases.EPMT]
server       = "main"
default_tier = "ro"

[databases.EPMT.tiers.ro]
login    = "epmt-ro"
password = { file = "epmt-ro" }
pool     = { size = 20 }

[databases.EPMT.tiers.rw]
login    = "epmt-rw"
password = { file = "epmt-rw" }
pool     = { size = 10 }

[databases.EPMT.tiers.admin]
override_env     = "EPMT_DB_URL"
url              = { file = "epmt-admin-url" }
accept_superuser = true
pool             = { size = 2 }

[identities.alice]
scram = "` + verifier + `"
[identities.ingest]
password = { env = "INGEST_PASSWORD" }
[identities.migrate]
password = [{ env = "INGEST_PASSWORD" }, { command = ["echo", "second"] }]

[groups]
analysts = ["alice"]

[[grants]]
to = "@analysts"
database = "EPMT"
tiers = ["ro"]
[[grants]]
to = "ingest"
database = "EPMT"
tiers = ["ro", "rw"]
default = "rw"
[[grants]]
to = "migrate"
database = "EPMT"
tiers = ["admin"]
default = "admin"
from = ["10.20.0.0/16"]
expires = 2027-12-31T23:59:59Z
limits = { session = "30m", connections = 2 }

[[denies]]
to = "*"
when = { status = ["quarantine", "suspended"] }
`

func load1(t *testing.T, text string) (*Config, Findings) {
	t.Helper()
	dir, env := world(t)
	return LoadBytes(filepath.Join(dir, "pgtier.toml"), []byte(text), env)
}

func TestLoadEPMT(t *testing.T) {
	cfg, findings := load1(t, epmt)
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	admin := cfg.Databases["EPMT"].Tiers["admin"]
	if admin.Login != "epmt-admin" || admin.Passwords[0] != "adm!n" || admin.Hosts[0] != "db1.example:5433" || admin.SSLMode != "require" {
		t.Errorf("admin from url: login %q, hosts %v, sslmode %q", admin.Login, admin.Hosts, admin.SSLMode)
	}
	ro := cfg.Databases["EPMT"].Tiers["ro"]
	if ro.Passwords[0] != "ro-secret" || ro.SSLMode != "verify-full" || ro.DBName != "EPMT" || ro.Pool.Size != 20 {
		t.Errorf("ro: %q %q %q %d", ro.Passwords, ro.SSLMode, ro.DBName, ro.Pool.Size)
	}
	if got := strings.Join(cfg.Identities["migrate"].Passwords, " "); got != "ingest-secret second" {
		t.Errorf("migrate's passwords = %q", got)
	}
}
