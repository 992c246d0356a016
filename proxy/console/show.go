package console

import (
	"context"
	"net"
	"strconv"
	"strings"
)

// table is what one SHOW shows. Columns have PgBouncer's names where they mean the same, so that what reads a PgBouncer's
// console can read this one. docs/console.md explains each; a test compares.
type table struct {
	what    string // for SHOW HELP
	columns []column
	rows    func(context.Context, Daemon) ([][]any, error)
}

var tables map[string]*table

func init() { // SHOW HELP shows the map that it is in
	tables = map[string]*table{
		"CLIENTS": {"every client that has logged in", columnsOf("type user database state addr port# connect_time wait# wait_us# link# tls " +
			"application_name id# identity tier role pin_reason transaction method leases# received# sent#"), clientRows},
		"SERVERS": {"every server connection", columnsOf("type user database state addr port# connect_time link# remote_pid# tls " +
			"tier role identity pin_reason"), serverRows},
		"POOLS": {"every pool: who uses and who waits for its server connections", columnsOf("database user cl_active# cl_waiting# " +
			"sv_active# sv_idle# sv_login# maxwait# maxwait_us# pool_mode tier role pool_size# reserve_pool_size# paused# last_error"), poolRows},
		"DATABASES": {"every tier of every database, as configured", columnsOf("name host port# database force_user pool_size# min_pool_size# " +
			"reserve_pool_size# pool_mode max_connections# current_connections# current_client_connections# paused# disabled# " +
			"tier role isolation guard# credential"), databaseRows},
		"IDENTITIES": {"who may log in", columnsOf("name groups methods disabled# sessions# console"), identityRows},
		"STATS": {"what each tier has done since the start", columnsOf("database total_xact_count# total_received# total_sent# total_wait_time# " +
			"tier total_sessions#"), statRows},
		"CONFIG": {"the configuration in force, without secrets", columnsOf("key value changeable effect"), configRows},
		"VERSION": {"which pgtier this is", columnsOf("version"), func(_ context.Context, d Daemon) ([][]any, error) {
			return [][]any{{d.Version()}}, nil
		}},
		"HELP": {"this", columnsOf("command description"), helpRows},
	}
}

func clientRows(ctx context.Context, d Daemon) ([][]any, error) {
	clients, err := d.Clients(ctx)
	rows := make([][]any, 0, len(clients))
	for _, c := range clients {
		addr, port := "unix", uint16(0)
		if c.Addr.IsValid() {
			addr, port = c.Addr.Addr().String(), c.Addr.Port()
		}
		rows = append(rows, []any{
			"C", c.Identity, c.Database, c.State, addr, port, c.Since, seconds(c.Wait), microseconds(c.Wait), orNull(c.ServerPID), c.TLS,
			c.AppName, c.ID, c.Identity, c.Tier, c.Role, orNull(c.PinReason), orNull(c.Transaction), c.Method, c.Leases, c.Received, c.Sent,
		})
	}
	return rows, err
}

func serverRows(ctx context.Context, d Daemon) ([][]any, error) {
	servers, err := d.Servers(ctx)
	rows := make([][]any, 0, len(servers))
	for _, s := range servers {
		host, port := splitAddress(s.Addr)
		tls := ""
		if s.TLS {
			tls = "on"
		}
		rows = append(rows, []any{
			"S", s.Login, s.Database, s.State, host, port, s.Since, orNull(s.Client), s.PID, tls,
			s.Tier, s.Role, orNull(s.Identity), orNull(s.PinReason),
		})
	}
	return rows, err
}

// splitAddress splits "host:port"; what is no such thing, a socket's path, has port 0.
func splitAddress(s string) (host string, port int) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	port, _ = strconv.Atoi(text) // of an address that was connected to
	return host, port
}

func poolRows(_ context.Context, d Daemon) (rows [][]any, _ error) {
	for _, p := range d.Pools() {
		rows = append(rows, []any{
			p.Database, p.Login, max(0, p.Clients-p.Waiting), p.Waiting, p.Active, p.Idle, p.LoggingIn, seconds(p.MaxWait), microseconds(p.MaxWait),
			p.Mode, p.Tier, p.Role, p.Size, p.Reserve, p.Paused, orNull(p.LastError),
		})
	}
	return rows, nil
}

func databaseRows(_ context.Context, d Daemon) (rows [][]any, _ error) {
	for _, b := range d.Databases() {
		rows = append(rows, []any{
			b.Name, b.Host, b.Port, b.DBName, b.Login, b.Size, b.Min, b.Reserve, b.Mode, b.MaxConnections, b.Servers, b.Sessions,
			b.Paused, false, b.Tier, b.Role, b.Isolation, b.Guard, b.Credential,
		})
	}
	return rows, nil
}

func identityRows(_ context.Context, d Daemon) (rows [][]any, _ error) {
	for _, i := range d.Identities() {
		rows = append(rows, []any{i.Name, strings.Join(i.Groups, ","), strings.Join(i.Methods, ","), i.Disabled, i.Sessions, orNull(i.Console)})
	}
	return rows, nil
}

func statRows(ctx context.Context, d Daemon) (rows [][]any, _ error) {
	stats, err := d.Stats(ctx)
	for _, s := range stats {
		rows = append(rows, []any{s.Database, s.Leases, s.Received, s.Sent, s.Waited.Microseconds(), s.Tier, s.Sessions})
	}
	return rows, err
}

func configRows(_ context.Context, d Daemon) (rows [][]any, _ error) {
	for _, s := range d.Config() {
		changeable := "yes"
		if s.Effect == "needs a restart" {
			changeable = "no"
		}
		rows = append(rows, []any{s.Key, orNull(s.Value), changeable, s.Effect})
	}
	return rows, nil
}

// helpRows are all commands. Those of tables come first, in the order in which one learns them.
func helpRows(context.Context, Daemon) (rows [][]any, _ error) {
	for _, name := range [...]string{"CLIENTS", "SERVERS", "POOLS", "DATABASES", "IDENTITIES", "STATS", "CONFIG", "VERSION", "HELP"} {
		rows = append(rows, []any{"SHOW " + name, tables[name].what})
	}
	return append(rows,
		[]any{"PAUSE [database[/tier]]", "lend no server connection any more; answers when none is in use"},
		[]any{"RESUME [database[/tier]]", "lend again"},
		[]any{"KILL id", "end the client with this id of SHOW CLIENTS"},
		[]any{"KILL IDENTITY name", "end every session of an identity"},
		[]any{"RELOAD", "read the configuration again, as SIGHUP does"},
		[]any{"RECONNECT [database[/tier]]", "replace server connections as they come back"},
		[]any{"SHUTDOWN DRAIN", "stop when every transaction has finished, as SIGTERM does"},
		[]any{"SHUTDOWN", "stop at once"},
	), nil
}
