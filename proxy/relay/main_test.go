package relay

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// testEngine is what the tests run on: what this machine gets, unless the environment names one.
var testEngine = os.Getenv("PGTIER_TEST_ENGINE")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEverythingOnEpoll runs all the tests again on the engine that kernels without io_uring get.
func TestEverythingOnEpoll(t *testing.T) {
	if testEngine != "" {
		t.Skip("this is such a run")
	}
	cmd := exec.Command(os.Args[0], "-test.short", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), "PGTIER_TEST_ENGINE="+EngineEpoll)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
