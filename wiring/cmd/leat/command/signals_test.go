package command_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/command"
)

const signalHelper = "LEAT_TEST_SIGNALS"

// runSignalHelper is the program that TestSecondSignalStopsAtOnce sends its signals to: work that
// does not end when it is asked to.
func runSignalHelper() bool {
	if os.Getenv(signalHelper) == "" {
		return false
	}
	ctx, _ := command.WithSignals(context.Background(), os.Stderr, os.Exit)
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("asked to stop")
	select {}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), signalHelper+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)

	require.True(t, lines.Scan())
	require.Equal(t, "ready", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, lines.Scan())
	require.Equal(t, "asked to stop", lines.Text())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.False(t, lines.Scan())
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 1, exit.ExitCode())
}
