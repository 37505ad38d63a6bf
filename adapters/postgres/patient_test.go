package postgres_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/postgres"
)

// A server that is gone without a word is given up, and what waited for it may be done again.
func TestASilentServerIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		told := 0
		c := postgres.Patient(near, 5*time.Second, func() { told++ })
		began := time.Now()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, postgres.ErrSilent)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.True(t, postgres.IsPassing(fmt.Errorf("receive message: %w", err)))
		var timeout net.Error
		require.False(t, errors.As(err, &timeout), "the connection is of no use any more")
		require.Equal(t, 1, told)

		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, postgres.ErrSilent)
		require.Equal(t, 2, told)

		// Each answer has its own time.
		go func() {
			for range 3 {
				<-time.After(4 * time.Second)
				_, _ = far.Write([]byte("x"))
			}
		}()
		for range 3 {
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, err)
		}

		// The deadline of whoever uses the connection is a timeout as ever, and is kept while it is read.
		began = time.Now()
		require.NoError(t, c.SetDeadline(began.Add(time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.NoError(t, c.SetDeadline(time.Time{}))
		go func() {
			<-time.After(time.Second)
			_ = c.SetReadDeadline(time.Now())
		}()
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 2, told)
	})
}

func TestStatementPatience(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"2000": 5 * time.Second, "10s": 13 * time.Second, "1min": 63 * time.Second, "0": 0, "?": 33 * time.Second} {
		require.Equal(t, want, postgres.StatementPatience(map[string]string{"statement_timeout": text}, 30*time.Second), text)
	}
	require.Equal(t, 33*time.Second, postgres.StatementPatience(nil, 30*time.Second))
}
