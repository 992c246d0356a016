package pgtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgtier/pgtier/integration/pgtest"
)

func TestAwait(t *testing.T) {
	asked, broken := 0, errors.New("broken")
	for _, c := range []struct {
		name   string
		within time.Duration
		is     func() (bool, error)
		want   string // in the error; "" for none
	}{
		{"at once", time.Hour, func() (bool, error) { return true, nil }, ""},
		{"the third time", time.Hour, func() (bool, error) { asked++; return asked == 3, nil }, ""},
		{"fails", time.Hour, func() (bool, error) { return false, broken }, "broken"},
		{"never", time.Nanosecond, func() (bool, error) { return false, nil }, "not within 1ns: never"},
	} {
		err := pgtest.Await(t.Context(), c.within, c.name, c.is)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pgtest.Await(ended, time.Hour, "nothing", func() (bool, error) { return false, nil }); err == nil {
		t.Error("waited on when its context had ended")
	}
}
