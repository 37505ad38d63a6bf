package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
)

type happened struct{ N int }

func (happened) EventType() string { return "thing.happened" }

type thing struct{ domain.Root }

func TestRootKeepsEventsUntilTheyAreStored(t *testing.T) {
	t.Parallel()
	var a thing
	require.Empty(t, a.Pending())
	require.Zero(t, a.Version(), "a new aggregate")

	a.Record(happened{1})
	a.Record(happened{2})
	require.Equal(t, []domain.Event{happened{1}, happened{2}}, a.Pending())
	require.Zero(t, a.Version(), "recording stores nothing")

	a.Stored(1)
	require.Empty(t, a.Pending())
	require.EqualValues(t, 1, a.Version())

	a.Record(happened{3})
	require.Equal(t, []domain.Event{happened{3}}, a.Pending())
}

func TestPendingIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	var a thing
	a.Record(happened{1})
	pending := a.Pending()
	pending[0] = happened{9}
	_ = append(pending, happened{10})
	require.Equal(t, []domain.Event{happened{1}}, a.Pending())
}
