package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// URL is how an account connects to a database over TCP. With TLS the server is verified.
func (c *Cluster) URL(user, password, database string) string {
	query := url.Values{"sslmode": {"disable"}}
	if c.CAFile != "" {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {c.CAFile}}
	}
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(user, password), Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(c.Port)),
		Path: "/" + database, RawQuery: query.Encode(),
	}
	return u.String()
}

// SuperuserURL is URL for the superuser, whose password is random.
func (c *Cluster) SuperuserURL(database string) string { return c.URL(Superuser, c.password, database) }

// Connect connects the superuser to a database over the Unix socket. It needs the rights of the server's account, or root's.
func (c *Cluster) Connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	return pgconn.Connect(ctx, fmt.Sprintf("host='%s' port=%d user=%s dbname='%s' sslmode=disable",
		quote.Replace(c.SocketDir()), c.Port, Superuser, quote.Replace(database)))
}

// Exec runs statements, separated by semicolons, as the superuser. Several statements are one transaction.
func (c *Cluster) Exec(ctx context.Context, database, sql string) error {
	_, err := c.query(ctx, database, sql)
	return err
}

// QueryText runs one statement as the superuser and returns the first column of its first row; "" without rows.
func (c *Cluster) QueryText(ctx context.Context, database, sql string) (string, error) {
	results, err := c.query(ctx, database, sql)
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func (c *Cluster) query(ctx context.Context, database, sql string) ([]*pgconn.Result, error) {
	conn, err := c.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("on %q: %w", database, err)
	}
	return results, nil
}
