package pgtest

import (
	"context"
	"crypto/rand"
	_ "embed"
)

// Account is a PostgreSQL login and its password.
type Account struct{ Name, Password string }

// EPMT is the worked example of this project: the database of NOAA-GFDL's Experiment Performance Management Tool with
// its three accounts.
type EPMT struct {
	Database  string  // "EPMT"; capitals and hyphens are there to keep everybody's quoting honest
	Admin     Account // owns the database and the schema, creates tables; no superuser
	RW        Account // reads and writes rows
	RO        Account // reads rows
	Superuser string  // of the cluster
}

//go:embed epmt_accounts.sql
var epmtAccountsSQL string

//go:embed epmt_schema.sql
var epmtSchemaSQL string

// CreateEPMT makes the database EPMT with accounts, grants, default privileges, tables and a few rows. The passwords are
// random.
func (c *Cluster) CreateEPMT(ctx context.Context) (*EPMT, error) {
	e := &EPMT{
		Database:  "EPMT",
		Admin:     Account{"epmt-admin", rand.Text()},
		RW:        Account{"epmt-rw", rand.Text()},
		RO:        Account{"epmt-ro", rand.Text()},
		Superuser: Superuser,
	}
	if err := c.Exec(ctx, Superuser, epmtAccountsSQL); err != nil {
		return nil, err
	}
	for _, a := range []Account{e.Admin, e.RW, e.RO} {
		// rand.Text is letters and digits: nothing to escape.
		if err := c.Exec(ctx, Superuser, `ALTER ROLE "`+a.Name+`" PASSWORD '`+a.Password+`'`); err != nil {
			return nil, err
		}
	}
	// CREATE DATABASE cannot run in a transaction, so it is alone in its message.
	if err := c.Exec(ctx, Superuser, `CREATE DATABASE "EPMT" OWNER "epmt-admin"`); err != nil {
		return nil, err
	}
	return e, c.Exec(ctx, e.Database, epmtSchemaSQL)
}
