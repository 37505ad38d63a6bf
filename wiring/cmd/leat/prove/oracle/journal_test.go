package oracle_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/oracle"
)

func TestJournals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, err := oracle.OpenJournal(dir, "one")
	require.NoError(t, err)
	require.NoError(t, j.Intend(oracle.Intent{ID: "a", Tenant: "t", Batch: "1"}, oracle.Intent{ID: "b", Tenant: "t", Batch: "1"}))
	require.NoError(t, j.Note(oracle.Unknown, "a", "b"))
	require.NoError(t, j.Note(oracle.Accepted, "a", "b"))
	require.NoError(t, j.Note(oracle.Refused, "b"))
	require.NoError(t, j.Intend(oracle.Intent{ID: "c", Tenant: "t"}))
	require.NoError(t, j.Close())
	j, err = oracle.OpenJournal(dir, "one") // of the next process of the client
	require.NoError(t, err)
	require.NoError(t, j.Intend(oracle.Intent{ID: "d", Tenant: "t"}))
	require.NoError(t, j.Note(oracle.Unknown, "d"))
	require.NoError(t, j.Note(oracle.Refused, "d"))
	require.NoError(t, j.Intend(oracle.Intent{ID: "f", Tenant: "t"}))
	require.NoError(t, j.NoteReceipt("f", 17))
	require.NoError(t, j.NoteReceipt("f", 18))
	require.NoError(t, j.Close())
	other, err := oracle.OpenJournal(dir, "two")
	require.NoError(t, err)
	require.NoError(t, other.Intend(oracle.Intent{ID: "e", Tenant: "t"}))
	require.NoError(t, other.Close())

	told, err := oracle.ReadJournals(dir)
	require.NoError(t, err)
	require.Len(t, told, 6)
	require.Equal(t, oracle.Told{
		Intent: oracle.Intent{ID: "b", Tenant: "t", Batch: "1"}, Outcome: oracle.Accepted, Client: "one.journal", Asked: 2, Answered: 4, Doubted: true,
	}, *told["b"])
	require.Equal(t, oracle.Unknown, told["c"].Outcome)
	require.Equal(t, oracle.Refused, told["d"].Outcome)
	require.Equal(t, "two.journal", told["e"].Client)
	require.Equal(t, int64(17), told["f"].Recorded)
	require.False(t, told["f"].Doubted)

	require.NoError(t, func() error {
		j, err := oracle.OpenJournal(dir, "three")
		if err != nil {
			return err
		}
		return j.Intend(oracle.Intent{ID: "a"})
	}())
	_, err = oracle.ReadJournals(dir)
	require.ErrorContains(t, err, "a was asked for before")
}
