// Package attack has the attacks that were tried on pgtier, each as a test: what one client sends to reach another's bytes,
// identity or transaction, or to bring the process down. It has no code but tests.
package attack

import (
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
