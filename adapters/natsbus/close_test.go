package natsbus_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/natsbus"
	"github.com/leat-dev/leat/adapters/natsbus/natstest"
)

// TestClosedAtOnce closes buses whose first messages are still on their way, or just there. Nothing may stay
// behind: the end of the package's tests looks for it.
func TestClosedAtOnce(t *testing.T) {
	t.Parallel()
	server := natstest.StartServer(t, natstest.Options{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 200 {
		_, logger := newLogs(t)
		b, err := natsbus.Open(t.Context(), quick(natsbus.Config{URL: server.URL()}), natsbus.Hooks{}, logger)
		require.NoError(t, err)
		switch i % 3 {
		case 0: // nothing was sent
		case 1:
			_ = b.Publish(gone, (&chain{}).next(1, keys(1))) // sent, and not waited for
		case 2:
			require.NoError(t, b.Publish(t.Context(), (&chain{}).next(1, keys(1))))
		}
		require.NoError(t, b.Close())
	}
}
