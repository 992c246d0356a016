package server

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Connect makes one connection to t. The error is always an *Error. It returns within t.ConnectTimeout, and soon after
// ctx is done.
func Connect(ctx context.Context, t Target) (*Conn, error) {
	if t.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.ConnectTimeout)
		defer cancel()
	}
	if e := t.check(); e != nil {
		return nil, e
	}
	all := &Error{Definite: true}
	var causes []error
	for i, host := range t.Hosts {
		c, e := t.connectHost(ctx, host, len(t.Hosts)-i)
		if e == nil {
			return c, nil
		}
		causes = append(causes, e.Cause)
		all.Definite = all.Definite && e.Definite
		if e.Public != nil {
			all.Public = e.Public
		}
		if e.answered && e.Definite {
			all.Definite = true
			break
		}
	}
	all.Cause = causes[0]
	if len(causes) > 1 {
		all.Cause = errors.Join(causes...)
	}
	return nil, all
}

// check refuses what could not be meant before anything is dialled.
func (t Target) check() *Error {
	if len(t.Passwords) > 0 && len(t.Keys) > 0 {
		return misconfigured("a login has passwords or keys, not both")
	}
	if len(t.Hosts) == 0 || t.Login == "" || t.Database == "" {
		return misconfigured("a server needs a host, a database and a login")
	}
	for name := range t.Params {
		switch normalize(name) {
		case "user", "database", "replication", "":
			return misconfigured("startup parameter %q is not a setting", name)
		}
	}
	return nil
}

// normalize folds case as PostgreSQL does for names of settings: ASCII only.
func normalize(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// connectHost tries one host with each kind of encryption that sslmode has. It may use its share of the time that is
// left for this and the hosts behind it.
func (t Target) connectHost(ctx context.Context, host string, hosts int) (*Conn, *Error) {
	at, ok := parseAddress(host, t.Port)
	if !ok {
		return nil, misconfigured("%q is not a host, host:port or socket directory", host)
	}
	kinds, err := attempts(t.SSLMode, at.network)
	if err != nil {
		return nil, misconfigured("%w", err)
	}
	l := &login{Target: t, at: at}
	if at.network == "tcp" && t.SSLMode != "disable" {
		if l.tls, err = t.tlsConfig(at.host); err != nil {
			return nil, misconfigured("%w", err)
		}
	}
	if end, limited := ctx.Deadline(); limited && hosts > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(hosts))
		defer cancel()
	}
	var last *Error
	for _, how := range kinds {
		c, e := l.tryPasswords(ctx, how)
		if e == nil {
			return c, nil
		}
		if last != nil {
			e.Cause = errors.Join(last.Cause, e.Cause)
		}
		last = e
		if !e.tls || ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// tryPasswords tries one password, or one key, after the other, beginning with the one that was accepted last, until one is not
// refused. Each refusal costs a connection: PostgreSQL closes it.
func (l *login) tryPasswords(ctx context.Context, how encryption) (*Conn, *Error) {
	var last *Error
	tries := max(len(l.Passwords), len(l.Keys), 1)
	for i := range tries {
		n := (max(l.FirstPassword, 0) + i) % tries
		switch {
		case len(l.Passwords) > 0:
			l.password = l.Passwords[n]
		case len(l.Keys) > 0:
			l.key = &l.Keys[n]
		}
		c, e := l.run(ctx, how)
		if e == nil {
			c.Password = n
			return c, nil
		}
		last = e
		if !e.password || ctx.Err() != nil {
			break
		}
	}
	return nil, last
}
