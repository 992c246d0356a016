package console

import (
	"context"
	"encoding/binary"

	"go.uber.org/zap"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

// frame answers one message (PostgreSQL documentation, "Message Flow").
func (s *Session) frame(f frame) {
	switch {
	case f.end != nil:
		s.End(f.end.reason, f.end.err)
	case f.typ == wire.Sync:
		clear(s.portals) // as at the end of a transaction
		s.skip = false
		s.ready()
	case s.skip:
	case f.typ == wire.Query:
		s.query(f.body)
		s.ready()
	case f.typ == wire.Function:
		s.fail(pgerr.New(pgerr.FeatureNotSupported, "the console has no functions"))
		s.ready()
	case f.typ == wire.Flush, f.typ == wire.CopyData, f.typ == wire.CopyDone, f.typ == wire.CopyFail:
		// Everything is sent before the next frame is waited for; copy data behind an error is passed over, as PostgreSQL does.
	default:
		s.extended(f)
	}
}

// query answers a simple query, which may be several commands: up to the first that fails.
func (s *Session) query(body []byte) {
	delete(s.statements, "")
	delete(s.portals, "")
	text, _, ok := wire.CString(body)
	if !ok {
		s.fail(pgerr.New(pgerr.ProtocolViolation, "invalid string in message"))
		return
	}
	commands, err := parse(text)
	if err != nil {
		s.fail(err)
		return
	}
	if len(commands) == 0 {
		s.out = wire.AppendEmpty(s.out, wire.EmptyQueryResponse)
	}
	for _, c := range commands {
		rows, tag, err := s.run(c)
		if err != nil {
			s.fail(err)
			return
		}
		if c.show != nil {
			s.out = appendDescription(s.out, c.show.columns, nil)
			s.sendRows(c.show.columns, nil, rows)
		}
		s.out = wire.AppendCommandComplete(s.out, tag)
	}
}

// sendRows sends rows, and not all of them at once when they are many.
func (s *Session) sendRows(columns []column, formats []uint16, rows [][]any) {
	for _, row := range rows {
		s.out = appendRow(s.out, columns, formats, row)
		if len(s.out) > flushAt && s.flush() != nil {
			s.End(session.ReasonClientGone, nil)
			return
		}
	}
}

// fail answers with an error. When the session is ending, that is what the client is told instead.
func (s *Session) fail(e *pgerr.Error) {
	if s.ctx.Err() == nil {
		s.out = e.AsError().Append(s.out)
	}
}

// run carries a command out. Commands that change something are logged, whatever comes of them.
func (s *Session) run(c *command) (rows [][]any, tag string, _ *pgerr.Error) {
	switch {
	case c.show != nil:
		rows, err := s.rows(c.show)
		return rows, c.tag, err
	case c.act == nil:
		if c.local != nil {
			c.local(s)
		}
		return nil, c.tag, nil
	}
	tag, err := c.tag, error(pgerr.New(pgerr.InsufficientPrivilege, "permission denied: \"%s\" may only use SHOW on the console", s.cfg.Identity))
	if s.cfg.Admin {
		err = s.cancellable(func(ctx context.Context) error { tag, err = c.act(ctx, s.cfg.Daemon); return err })
	}
	fields := []zap.Field{zap.String("identity", s.cfg.Identity), zap.String("command", c.text)}
	if err == nil {
		s.cfg.Log.Info("console command", fields...)
		return nil, tag, nil
	}
	public := s.public(err)
	s.cfg.Log.Info("console command failed", append(fields, zap.String("sqlstate", public.Code), zap.String("error", public.Message))...)
	return nil, "", public
}

// rows computes a table.
func (s *Session) rows(t *table) (rows [][]any, _ *pgerr.Error) {
	err := s.cancellable(func(ctx context.Context) (err error) { rows, err = t.rows(ctx, s.cfg.Daemon); return err })
	if err != nil {
		return nil, s.public(err)
	}
	return rows, nil
}

// cancellable calls fn with a context that a cancel request ends, or the client's leaving.
func (s *Session) cancellable(fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(s.here)
	defer cancel(nil)
	s.setRunning(cancel)
	defer s.setRunning(nil)
	return fn(ctx)
}

func (s *Session) setRunning(cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = cancel
}

// public is what the client may be told of err.
func (s *Session) public(err error) *pgerr.Error {
	e, incident := pgerr.From(err)
	if incident != "" && s.here.Err() == nil {
		s.cfg.Log.Error("console", zap.String("incident", incident), zap.Error(err))
	}
	return e
}

// Types of columns, as PostgreSQL numbers them.
const (
	oidInt8 = 20
	oidText = 25
)

// appendDescription appends RowDescription. formats is as in appendRow.
//
//	'T' | int32 length | int16 count | { string name \0 | int32 table | int16 column | int32 type | int16 size | int32 modifier | int16 format } ...
func appendDescription(dst []byte, columns []column, formats []uint16) []byte {
	dst, at := wire.Begin(dst, wire.RowDescription)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(columns)))
	for i, c := range columns {
		dst = append(append(dst, c.name...), 0)
		dst = append(dst, 0, 0, 0, 0, 0, 0) // of no table
		oid, size := uint32(oidText), uint16(0xffff)
		if c.number {
			oid, size = oidInt8, 8
		}
		dst = binary.BigEndian.AppendUint32(dst, oid)
		dst = binary.BigEndian.AppendUint16(dst, size)
		dst = binary.BigEndian.AppendUint32(dst, 0xffffffff)
		dst = binary.BigEndian.AppendUint16(dst, formatOf(formats, i))
	}
	return wire.End(dst, at)
}

// formatOf returns the format of column i: 0 = text, 1 = binary. formats has none, one for all, or one for each.
func formatOf(formats []uint16, i int) uint16 {
	switch len(formats) {
	case 0:
		return 0
	case 1:
		return formats[0]
	}
	return formats[i]
}
