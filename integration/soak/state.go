package main

import (
	"context"
	"fmt"
	"strings"
)

// zones are what clients set TimeZone to.
var zones = []string{"UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"}

// set changes a setting in one of the ways in which programs do that.
func (c *client) set(ctx context.Context) error {
	name, value := "TimeZone", zones[c.rand.IntN(len(zones))]
	switch c.rand.IntN(4) {
	case 0:
		name, value = "application_name", "soak-"+c.tag()
	case 1:
		name, value = "soak.mood", c.tag()
	case 2:
		name, value = "search_path", "public, pg_temp"
	}
	sql := fmt.Sprintf("SET %s = '%s'", name, value)
	switch {
	case name == "search_path":
		sql = "SET search_path = public, pg_temp"
	case c.rand.IntN(3) == 0:
		sql = fmt.Sprintf("SELECT set_config('%s', '%s', false)", name, value)
	case c.rand.IntN(3) == 0:
		sql = "BEGIN; " + sql + "; COMMIT"
	}
	if c.rand.IntN(2) == 0 && !strings.Contains(sql, ";") {
		if res := c.conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read(); res.Err != nil {
			return c.unless57014(ctx, res.Err)
		}
	} else if _, err := c.conn.Exec(ctx, sql).ReadAll(); err != nil {
		return c.unless57014(ctx, err)
	}
	c.settings[name] = value
	return nil
}

// unless57014 is excuse for what may have been in a transaction of its own.
func (c *client) unless57014(ctx context.Context, err error) error {
	if c.excuse(err) != nil {
		return err
	}
	_, err = c.conn.Exec(ctx, "ROLLBACK").ReadAll()
	return err
}

// checkSettings compares all settings with what they should be, and what the server has reported with both.
func (c *client) checkSettings(ctx context.Context) error {
	const sql = `SELECT '%s', current_setting('application_name'), current_setting('TimeZone'), current_setting('soak.client'),
		coalesce(current_setting('soak.mood', true), ''), current_setting('search_path')`
	path := c.settings["search_path"]
	if path == "" {
		path = `"$user", public`
	}
	want := strings.Join([]string{c.tag(), c.label(), c.settings["TimeZone"], c.settings["soak.client"],
		c.settings["soak.mood"], path}, ",")
	if err := c.ask(ctx, fmt.Sprintf(sql, c.tag()), want); err != nil {
		return err
	}
	if err := c.ask(ctx, "SHOW application_name", c.settings["application_name"]); err != nil {
		return err
	}
	for _, name := range []string{"application_name", "TimeZone"} {
		if got := c.conn.ParameterStatus(name); got != c.settings[name] {
			return c.wrong("the server reported %s = %q, want %q", name, got, c.settings[name])
		}
	}
	return nil
}

// label is what the server has for application_name.
func (c *client) label() string {
	tier := "rw"
	if c.identity == keeper {
		tier = "admin"
	}
	return c.identity + "/" + tier + ": " + c.settings["application_name"]
}

// reset takes settings back to what they were when the client connected.
func (c *client) reset(ctx context.Context) error {
	sql := []string{"RESET ALL", "DISCARD ALL", "RESET TimeZone; RESET application_name", "SET TimeZone TO DEFAULT"}[c.rand.IntN(4)]
	if _, err := c.conn.Exec(ctx, sql).ReadAll(); err != nil {
		return c.excuse(err)
	}
	switch sql {
	case "DISCARD ALL":
		c.forget()
	case "RESET ALL":
		clear(c.settings)
		for name, value := range c.start {
			c.settings[name] = value
		}
	default:
		c.settings["TimeZone"] = c.start["TimeZone"]
		if strings.Contains(sql, "application_name") {
			c.settings["application_name"] = c.start["application_name"]
		}
	}
	return c.checkSettings(ctx)
}

// sessionState leaves something behind that no other server has, finds it again, and lets go of it.
func (c *client) sessionState(ctx context.Context) error {
	if c.identity == keeper {
		return nil // DISCARD ALL would take what it keeps
	}
	for _, step := range []struct{ sql, want string }{
		{fmt.Sprintf("CREATE TEMP TABLE mine AS SELECT '%s'::text AS tag", c.tag()), ""},
		{fmt.Sprintf("SELECT '%s' FROM pg_advisory_lock(%d)", c.tag(), c.id), c.tag()},
		{"SELECT tag FROM mine", c.tag()},
		{fmt.Sprintf("SELECT '%s', count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", c.tag()), c.tag() + ",1"},
		{"SELECT tag FROM mine", c.tag()},
	} {
		if done, err := c.step(ctx, step.sql, step.want); err != nil {
			return err
		} else if done {
			break
		}
	}
	if _, err := c.conn.Exec(ctx, "DISCARD ALL").ReadAll(); err != nil {
		if c.excuse(err) != nil {
			return err
		}
		return c.hangUp(ctx) // what it has kept by this late cancel nobody knows
	}
	c.forget()
	return c.wantCode(ctx, "SELECT tag FROM mine", "42P01")
}

// keep counts in a temporary table, for the clients that keep their server.
func (c *client) keep(ctx context.Context) error {
	if c.kept == 0 {
		if done, err := c.step(ctx, fmt.Sprintf("CREATE TEMP TABLE IF NOT EXISTS kept_%d (n int)", c.id), ""); done || err != nil {
			return err
		}
		if done, err := c.step(ctx, fmt.Sprintf("TRUNCATE kept_%d", c.id), ""); done || err != nil {
			return err
		}
	}
	if done, err := c.step(ctx, fmt.Sprintf("INSERT INTO kept_%d VALUES (%d)", c.id, c.seq), ""); done || err != nil {
		return err
	}
	c.kept++
	return c.ask(ctx, fmt.Sprintf("SELECT '%s', count(*) FROM kept_%d", c.tag(), c.id), fmt.Sprintf("%s,%d", c.tag(), c.kept))
}
