package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/load"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The clients make as many calls as they are told to, note what they know of each, and end with ctx.
func TestRun(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := calls.Add(1); {
		case n%5 == 0:
			w.WriteHeader(http.StatusBadRequest)
		case n == 7:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"errorCode":"INTERNAL_ERROR","message":"something went wrong"}`)
		case n%7 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"errorCode":"STORE_UNAVAILABLE","message":"there is no room"}`)
		default:
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"timestamp":"2026-01-02T03:04:05.000006Z"}`)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	address := strings.TrimPrefix(server.URL, "http://")
	var there atomic.Bool
	l, err := load.New(load.Config{Seed: 1, Clients: 3, Tenants: []string{"acme"}, Keys: 2, Journals: dir, GiveUp: 1}, func() string {
		if there.Load() {
			return address
		}
		return ""
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.NoError(t, l.Run(ctx, 100), "nobody is there, and ctx ends: each of the three knows of nothing that came of its first call")
	require.Zero(t, calls.Load())

	there.Store(true)
	require.NoError(t, l.Run(t.Context(), 100))
	require.NoError(t, l.Close())
	require.Equal(t, int64(100), calls.Load())
	told, err := oracle.ReadJournals(dir)
	require.NoError(t, err)
	outcomes := map[oracle.Outcome]int{}
	for _, one := range told {
		outcomes[one.Outcome]++
		if one.Outcome == oracle.Accepted {
			require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC).UnixMicro(), one.Recorded)
		}
	}
	require.Equal(t, map[string]int{"STORE_UNAVAILABLE": 11}, l.Refused())
	require.Len(t, l.Odd(), 1)
	require.Contains(t, l.Odd()[0], "500")
	require.Equal(t, map[oracle.Outcome]int{oracle.Refused: 20, oracle.Unknown: 12 + 3, oracle.Accepted: 68}, outcomes)
	require.Equal(t, 68, l.Taken())
}
