package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startCrowd starts a proxy for the crowd and returns when it answers the first of the people.
func (b *lab) startCrowd(ctx context.Context, name string) (*target, error) {
	var t *target
	var err error
	switch name {
	case crowdBouncer:
		t, err = b.newCrowdBouncer()
	case crowdRole:
		t, err = b.newCrowdPgtier("isolation = \"role\"")
	case crowdShared:
		t, err = b.newCrowdPgtier("isolation = \"shared\"\nguard = true")
	}
	if err != nil {
		return nil, err
	}
	if err := t.spawn(b.dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := b.connectPerson(ctx, t, personName(0))
		if err == nil {
			err = errors.Join(askPerson(ctx, conn, personName(0)), conn.Close(ctx))
		}
		if err == nil {
			return t, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s does not answer: %w", name, err), t.stop())
		}
	}
}

// newCrowdBouncer is PgBouncer as it does this: a pool for each user, all of them together within the same cap. Who finds
// the cap reached takes a connection from another user's pool, which is a new login.
func (b *lab) newCrowdBouncer() (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var users strings.Builder
	for i := range b.options.crowd {
		fmt.Fprintf(&users, "%q %q\n", personName(i), b.verifier)
	}
	list, err := b.cluster.WriteConf("crowd.txt", []byte(users.String()))
	if err != nil {
		return nil, err
	}
	conf, err := b.cluster.WriteConf("crowd.ini", fmt.Appendf(nil, `[databases]
crowd = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = 20
max_db_connections = %d
max_client_conn = 10000
query_wait_timeout = 0
`, b.cluster.Port, port, list, b.options.poolSize))
	if err != nil {
		return nil, err
	}
	path := b.options.pgbouncer
	if path == "" {
		path = "/usr/sbin/pgbouncer"
	}
	t := &target{name: "crowd-pgbouncer", port: port, cmd: exec.Command(path, "--quiet", conf)}
	b.cluster.AsServer(t.cmd)
	return t, nil
}

func (b *lab) newCrowdPgtier(lines string) (*target, error) {
	path, err := filepath.Abs(b.options.pgtier)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password, err := b.writeFile("password", b.password)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	fmt.Fprintf(&text, `config_version = 1
[listen]
address = "127.0.0.1:%d"
[limits]
per_database = %d
[timeouts]
query_wait = "0s"
[servers.main]
host = "127.0.0.1"
port = %d
sslmode = "disable"
[databases.crowd]
server = "main"
default_tier = "rw"
[databases.crowd.tiers.rw]
login = "px_crowd"
password = { file = %q }
role = "{identity}"
pool = { size = %[2]d }
%[5]s
[[grants]]
to = "*"
database = "crowd"
tiers = ["rw"]
[log]
level = "warn"
`, port, b.options.poolSize, b.cluster.Port, password, lines)
	for i := range b.options.crowd {
		fmt.Fprintf(&text, "[identities.%s]\nscram = %q\n", personName(i), b.verifier)
	}
	conf, err := b.writeFile("crowd.toml", text.String())
	if err != nil {
		return nil, err
	}
	return &target{name: "crowd-pgtier", port: port, cmd: exec.Command(path, "serve", "--config", conf)}, nil
}
