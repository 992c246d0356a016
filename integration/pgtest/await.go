package pgtest

import (
	"context"
	"fmt"
	"time"
)

// Await asks, often, until is says true or has an error, which it returns. When ctx ends or within has passed, the error says
// that what did not come about. It is for what the other side decides the time of and no event tells.
func Await(ctx context.Context, within time.Duration, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := is()
		if ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %s", within, what)
		}
	}
}
