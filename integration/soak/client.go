package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// client is one client and what it knows of itself. All but cable belongs to its goroutine.
type client struct {
	crowd    *crowd
	id       int
	identity string
	habits   []habit
	rand     *rand.Rand

	conn     *pgconn.PgConn
	seq      int               // numbers its requests
	start    map[string]string // the settings that it asked for when it connected
	settings map[string]string // those that it should have
	prepared map[string]string // its prepared statements, and what is special about each
	sparedTo int               // up to this request a cancel request of its own may still hit
	kept     int               // in session mode: how many rows its temporary table holds
	heard    []string          // notifications, as "channel payload"

	cable cable
}

// cable is the client's socket, for those who cut it.
type cable struct {
	mu   sync.Mutex
	conn *net.TCPConn
	cut  bool
}

// live connects, works, is thrown out and connects again until the crowd stops.
func (c *client) live() {
	for !c.crowd.stopping() {
		if err := c.connect(); err != nil {
			c.judge("connecting", err)
			c.rest()
		} else {
			c.work()
		}
		c.leave()
	}
}

// work makes requests until one ends the connection.
func (c *client) work() {
	for !c.crowd.stopping() {
		c.rest()
		c.seq++
		h := pick(c.rand, c.habits)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := h.do(c, ctx)
		cancel()
		c.crowd.report.requests.Add(1)
		if err != nil {
			c.judge(h.name, err)
			return
		}
		if c.conn == nil || c.conn.IsClosed() {
			return
		}
	}
}

// rest is the pause between two requests.
func (c *client) rest() {
	timer := time.NewTimer(time.Duration(c.rand.Int64N(int64(2*c.crowd.lab.pace) + 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.crowd.quit:
	}
}

// connect logs in with settings of the client's own.
func (c *client) connect() error {
	cfg, err := pgconn.ParseConfig(c.crowd.lab.dsn(c.identity))
	if err != nil {
		return err
	}
	c.start = map[string]string{
		"application_name": fmt.Sprintf("soak-%d", c.id), "TimeZone": zones[c.id%len(zones)], "soak.client": fmt.Sprint(c.id),
	}
	for name, value := range c.start {
		cfg.RuntimeParams[name] = value
	}
	cfg.DialFunc = c.dial
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { c.heard = append(c.heard, n.Channel+" "+n.Payload) }
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), cableKey{}, true), patience)
	defer cancel()
	if c.conn, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
		c.conn = nil
		return err
	}
	c.crowd.report.logins.Add(1)
	c.forget()
	for _, name := range []string{"application_name", "TimeZone"} {
		if got := c.conn.ParameterStatus(name); got != c.start[name] {
			return c.wrong("after login %s is %q, want %q", name, got, c.start[name])
		}
	}
	return nil
}

// forget is what DISCARD ALL, and a new connection, mean for the client.
func (c *client) forget() {
	c.settings, c.prepared, c.kept, c.heard = make(map[string]string), make(map[string]string), 0, nil
	for name, value := range c.start {
		c.settings[name] = value
	}
}

// leave ends the connection politely, or, when it is broken, at all.
func (c *client) leave() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = c.conn.Close(ctx) // broken already, as often as not
	c.conn = nil
}

// cableKey marks the context of the client's own connection: cancel requests have another.
type cableKey struct{}

func (c *client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if ctx.Value(cableKey{}) != nil {
		c.cable.mu.Lock()
		defer c.cable.mu.Unlock()
		c.cable.conn, c.cable.cut = conn.(*net.TCPConn), false
	}
	return conn, nil
}

// cut ends the client's connection under its feet, with a reset or with an end. It reports whether there was one.
func (c *client) cut(reset bool) bool {
	c.cable.mu.Lock()
	defer c.cable.mu.Unlock()
	if c.cable.conn == nil || c.cable.cut {
		return false
	}
	c.cable.cut = true
	if reset {
		_ = c.cable.conn.SetLinger(0) // what is closed already needs none
	}
	_ = c.cable.conn.Close()
	return true
}

func (c *client) wasCut() bool {
	c.cable.mu.Lock()
	defer c.cable.mu.Unlock()
	return c.cable.cut
}

// faultError is an answer that is not the client's, or not right.
type faultError struct{ what string }

func (e *faultError) Error() string { return e.what }

func (c *client) wrong(format string, args ...any) error {
	return &faultError{fmt.Sprintf(format, args...)}
}

// judge decides whether a request may have failed.
func (c *client) judge(what string, err error) {
	r := c.crowd.report
	var fault *faultError
	var e *pgconn.PgError
	switch {
	case errors.As(err, &fault):
		r.fault("client %d (%s, pid %d): %s: %s", c.id, c.identity, c.pid(), what, fault.what)
	case c.wasCut():
		r.excused("the client was cut off")
	case errors.Is(err, context.DeadlineExceeded):
		r.fault("client %d (%s, pid %d): %s: stuck: %v", c.id, c.identity, c.pid(), what, err)
	case errors.As(err, &e) && c.crowd.stormy.Load() && inStorm[e.Code]:
		r.excused(e.Code + " " + e.Message)
	case !errors.As(err, &e) && c.crowd.stormy.Load():
		r.excused("the connection broke")
	default:
		r.fault("client %d (%s, pid %d): %s: %v", c.id, c.identity, c.pid(), what, err)
	}
}

// inStorm are the errors that a client may get because a server was killed, PostgreSQL stopped or crashed, or no server came
// in time.
var inStorm = map[string]bool{
	"57P01": true, "57P02": true, "57P03": true, "08001": true, "08006": true, "08003": true, "53300": true,
}

func (c *client) pid() uint32 {
	if c.conn == nil {
		return 0
	}
	return c.conn.PID()
}
