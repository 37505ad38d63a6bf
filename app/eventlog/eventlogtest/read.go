package eventlogtest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

// readerMissesNothing follows the log while many append, and compares with what it holds at the end.
func readerMissesNothing(t *testing.T, f *fixture) {
	const callers, each = 16, 25
	ctx := ctxOf(t)
	followed := make(chan []string, 1)
	go func() {
		var got []string
		var at int64
		for len(got) < callers*each && ctx.Err() == nil {
			appended := f.Appended()
			events, through, err := f.Read(ctx, at, 0, 7)
			if err != nil {
				t.Error(err)
				break
			}
			if through < at {
				t.Errorf("read after %d is complete through %d", at, through)
			}
			got, at = append(got, ids(events)...), through
			if len(events) == 0 {
				select {
				case <-appended:
				case <-ctx.Done():
				}
			}
		}
		followed <- got
	}()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := f.Append(ctx, []event.Envelope{envelope(fmt.Sprintf("%d-%d", c, i))}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	want := ids(f.all(t, callers*each))
	require.Equal(t, want, <-followed)
}

func readBySlots(t *testing.T, f *fixture) {
	f.mustAppend(t, many("x", 300)...)
	all := f.all(t, 300)
	last := all[len(all)-1].Position
	slots := []int{0, 5, 31, 62, 63}
	var want []string
	for _, e := range all {
		for _, s := range slots {
			if e.Slot == s {
				want = append(want, e.ID)
			}
		}
	}
	require.NotEmpty(t, want)
	got, through, err := f.Read(ctxOf(t), 0, eventlog.Slots(slots...), 300)
	require.NoError(t, err)
	require.Equal(t, want, ids(got))
	require.Equal(t, last, through, "complete through the head of the log")

	// In pages: through is the last event's position while there are more.
	var paged []string
	at := int64(0)
	for at < last {
		page, through, err := f.Read(ctxOf(t), at, eventlog.Slots(slots...), 3)
		require.NoError(t, err)
		require.Greater(t, through, at)
		if len(page) == 3 {
			require.Equal(t, page[2].Position, through)
		} else {
			require.Equal(t, last, through)
		}
		paged, at = append(paged, ids(page)...), through
	}
	require.Equal(t, want, paged)

	rest, through, err := f.Read(ctxOf(t), last, 0, 10)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, last, through)
}

func readAtPositions(t *testing.T, f *fixture) {
	f.mustAppendIDs(t, "a", "b", "c")
	all := f.all(t, 3)
	got, err := f.At(ctxOf(t), all[2].Position, all[0].Position, 1<<40)
	require.NoError(t, err)
	require.ElementsMatch(t, []event.Envelope{all[0], all[2]}, got)
	got, err = f.At(ctxOf(t))
	require.NoError(t, err)
	require.Empty(t, got)
}

func appended(t *testing.T, f *fixture) {
	for i := range 20 {
		c := f.Appended()
		select {
		case <-c:
			t.Fatal("closed before anything was appended")
		default:
		}
		f.mustAppendIDs(t, fmt.Sprint(i))
		select {
		case <-c:
		case <-ctxOf(t).Done():
			t.Fatal("not closed after an append")
		}
		f.all(t, i+1) // where positions come later, nothing is under way now
	}
}

func bounds(t *testing.T, f *fixture) {
	first, last, err := f.Bounds(ctxOf(t))
	require.NoError(t, err)
	require.Zero(t, first)
	require.Zero(t, last)
	f.mustAppendIDs(t, "a", "b", "c")
	all := f.all(t, 3)
	first, last, err = f.Bounds(ctxOf(t))
	require.NoError(t, err)
	require.Equal(t, all[0].Position, first)
	require.Equal(t, all[2].Position, last)
}
