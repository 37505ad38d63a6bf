//go:build faults

package fault_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/fault"
)

func TestMain(m *testing.M) {
	if os.Getenv("LEAT_TEST_RUN") == "passes" {
		for range 5 {
			fault.Point("one.other")
			os.Stdout.WriteString("pass\n")
			fault.Point("one.point")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestArmed(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"": 5, "one.point:1": 1, "one.point:3": 3, "one.other:3": 2, "one.point:6": 5, "no.point:1": 5} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "LEAT_TEST_RUN=passes", fault.Variable+"="+value)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.Equal(t, want, strings.Count(string(out), "pass"))
			if want == 5 {
				require.NoError(t, err)
				return
			}
			require.Equal(t, -1, cmd.ProcessState.ExitCode(), "killed by a signal")
			name, _, _ := strings.Cut(value, ":")
			require.Contains(t, stderr.String(), "died at "+name)
		})
	}
}
