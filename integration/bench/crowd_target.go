package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	err = awaitAnswer(ctx, t, func(ctx context.Context) error {
		conn, err := b.connectPerson(ctx, t, personName(0))
		if err != nil {
			return err
		}
		return errors.Join(askPerson(ctx, conn, personName(0)), conn.Close(ctx))
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// newCrowdBouncer is PgBouncer as it does this: a pool for each user, all of them together within the same cap. Who finds
// the cap reached takes a connection from another user's pool, which is a new login.
func (b *lab) newCrowdBouncer() (*target, error) {
	var users strings.Builder
	for i := range b.options.crowd {
		fmt.Fprintf(&users, "%q %q\n", personName(i), b.verifier)
	}
	return b.bouncer("crowd-pgbouncer", "crowd", users.String(), fmt.Sprintf(`default_pool_size = 20
max_db_connections = %d
query_wait_timeout = 0
`, b.options.poolSize))
}

func (b *lab) newCrowdPgtier(lines string) (*target, error) {
	password, err := b.writeFile("password", b.password)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	fmt.Fprintf(&text, `[limits]
per_database = %d
[timeouts]
query_wait = "0s"
[databases.crowd]
server = "main"
default_tier = "rw"
[databases.crowd.tiers.rw]
login = "px_crowd"
password = { file = %q }
role = "{identity}"
pool = { size = %[1]d }
%[3]s
[[grants]]
to = "*"
database = "crowd"
tiers = ["rw"]
`, b.options.poolSize, password, lines)
	for i := range b.options.crowd {
		fmt.Fprintf(&text, "[identities.%s]\nscram = %q\n", personName(i), b.verifier)
	}
	return b.pgtier("crowd-pgtier", text.String())
}
