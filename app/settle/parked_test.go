package settle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
)

// model is the waiting room as one reads its contract: a list by position.
type model []settle.Parked

func (m model) sorted() model {
	slices.SortFunc(m, func(a, b settle.Parked) int { return int(a.Position - b.Position) })
	return m
}

// heads returns the events that may be tried: the first of each key, and all that were redriven.
func (m model) heads() []settle.Parked {
	var heads []settle.Parked
	seen := map[string]bool{}
	for _, p := range m.sorted() {
		if p.State == settle.Redrive {
			heads = append(heads, p)
		} else if !seen[p.Key] {
			seen[p.Key] = true
			heads = append(heads, p)
		}
	}
	return heads
}

func (m model) blocks(key string) bool {
	return slices.ContainsFunc(m, func(p settle.Parked) bool { return p.Key == key && p.State != settle.Redrive })
}

// next is the head that is due first.
func (m model) next() (settle.Parked, bool) {
	heads := m.heads()
	if len(heads) == 0 {
		return settle.Parked{}, false
	}
	return slices.MinFunc(heads, func(a, b settle.Parked) int {
		if c := a.Due.Compare(b.Due); c != 0 {
			return c
		}
		return int(a.Position - b.Position)
	}), true
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		keys := rapid.SampledFrom([]string{"a", "b", "c"})
		times := rapid.Custom(func(t *rapid.T) time.Time {
			return start.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "due")) * time.Second)
		})
		var m model
		w := settle.NewWaiting(nil)
		position := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"a new event": func(t *rapid.T) {
				position++
				p := settle.Parked{Position: position, Key: keys.Draw(t, "key")}
				if m.blocks(p.Key) {
					p.State = settle.Behind
				} else {
					p.State, p.Attempts, p.Due = settle.Failed, 1, times.Draw(t, "time")
				}
				m = append(m, p)
				w.Add(p)
			},
			"a redriven event": func(t *rapid.T) {
				position++
				p := settle.Parked{Position: position, Key: keys.Draw(t, "key"), State: settle.Redrive, Due: times.Draw(t, "time")}
				m = append(m, p)
				w.Add(p)
			},
			"try one": func(t *rapid.T) {
				want, ok := m.next()
				if !ok {
					t.Skip("nobody waits")
				}
				got := w.Take()
				if got != want {
					t.Fatalf("got %+v to try, want %+v", got, want)
				}
				i := slices.Index(m, want)
				if rapid.Bool().Draw(t, "handled") {
					m = slices.Delete(m, i, i+1)
					w.Done(got)
					return
				}
				got.Attempts++
				got.Due = times.Draw(t, "time")
				if got.State == settle.Behind {
					got.State = settle.Failed
				}
				m[i] = got
				w.Put(got)
			},
			"hasten": func(t *rapid.T) {
				latest := times.Draw(t, "time")
				for i, p := range m {
					if p.Due.After(latest) {
						m[i].Due = latest
					}
				}
				w.Hasten(latest)
			},
			"read again": func(*rapid.T) {
				w = settle.NewWaiting(slices.Clone(m.sorted()))
			},
			"": func(t *rapid.T) {
				want, wantOK := m.next()
				got, ok := w.Next()
				if ok != wantOK || got != want {
					t.Fatalf("next: got %+v %v, want %+v %v", got, ok, want, wantOK)
				}
				for _, key := range []string{"a", "b", "c", "d"} {
					if got, want := w.Blocks(key), m.blocks(key); got != want {
						t.Fatalf("key %s blocks: got %v, want %v", key, got, want)
					}
				}
			},
		})
	})
}

// Some of the events are kept, as long as they are parked.
func TestWaitingKeeps(t *testing.T) {
	t.Parallel()
	w := settle.NewWaiting(nil)
	keep := func(position int64, size int) bool {
		w.Add(settle.Parked{Position: position, Key: "a", State: settle.Redrive})
		w.Keep(event.Envelope{Position: position, Data: make([]byte, size)})
		e, kept := w.Kept(position)
		require.Equal(t, kept, e.Position == position)
		return kept
	}
	require.True(t, keep(1, 200<<10))
	require.False(t, keep(2, 100<<10), "it is too much")
	require.True(t, keep(3, 50<<10))
	w.Done(settle.Parked{Position: 1, State: settle.Redrive})
	_, kept := w.Kept(1)
	require.False(t, kept)
	require.True(t, keep(4, 100<<10), "there is room again")
	for p := int64(5); p < 259; p++ {
		require.True(t, keep(p, 0))
	}
	require.False(t, keep(259, 0), "they are too many")
}

// What a hot key leaves behind is let go of.
func TestWaitingForgets(t *testing.T) {
	t.Parallel()
	w := settle.NewWaiting(nil)
	w.Add(settle.Parked{Position: 1, Key: "a", State: settle.Failed})
	for p := int64(2); p <= 1000; p++ {
		w.Add(settle.Parked{Position: p, Key: "a", State: settle.Behind})
	}
	for p := int64(1); p <= 1000; p++ {
		require.True(t, w.Blocks("a"))
		got := w.Take()
		require.Equal(t, p, got.Position)
		w.Done(got)
	}
	require.False(t, w.Blocks("a"))
	_, ok := w.Next()
	require.False(t, ok)
}
