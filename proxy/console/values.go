package console

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pgtier/pgtier/proxy/wire"
)

// column is one column of a table: text, or a whole number of 64 bits.
type column struct {
	name   string
	number bool
}

// columnsOf reads "name name# ...": with # it is a number.
func columnsOf(text string) []column {
	var columns []column
	for _, word := range strings.Fields(text) {
		name, number := strings.CutSuffix(word, "#")
		columns = append(columns, column{name, number})
	}
	return columns
}

// appendRow appends DataRow. formats is one for each column, one for all, or none: text.
//
//	'D' | int32 length | int16 count | { int32 length, -1 for NULL | bytes } ...
func appendRow(dst []byte, columns []column, formats []uint16, row []any) []byte {
	if len(row) != len(columns) {
		panic(fmt.Sprintf("BUG: console: %d values for %d columns", len(row), len(columns)))
	}
	dst, at := wire.Begin(dst, wire.DataRow)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
	for i, v := range row {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		from := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		n, number := asNumber(v)
		switch {
		case number != columns[i].number:
			panic(fmt.Sprintf("BUG: console: a %T in column %s", v, columns[i].name))
		case number && formatOf(formats, i) == 1:
			dst = binary.BigEndian.AppendUint64(dst, uint64(n))
		case number:
			dst = strconv.AppendInt(dst, n, 10)
		default:
			dst = append(dst, asText(v)...)
		}
		binary.BigEndian.PutUint32(dst[from:], uint32(len(dst)-from-4))
	}
	return wire.End(dst, at)
}

func asNumber(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	panic(fmt.Sprintf("BUG: console: a %T in a table", v))
}

// seconds and microseconds are the two columns in which PgBouncer shows a duration.
func seconds(d time.Duration) int64      { return int64(d / time.Second) }
func microseconds(d time.Duration) int64 { return int64(d % time.Second / time.Microsecond) }

// orNull is v, or NULL when it is zero.
func orNull[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}
