package wshub_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
)

// Whatever is pushed comes out in order, wherever in its ring the queue stands when it grows.
func TestQueue(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var q wshub.Queue
		var in, out int64
		for range 400 {
			if rising := random.IntN(3); rising > 0 {
				in++
				q.Push(in)
			} else if q.Len() > 0 {
				out++
				require.Equal(t, out, q.Pop())
			}
			require.EqualValues(t, in-out, q.Len())
			require.LessOrEqual(t, q.Room(), max(8, 2*int(in)))
		}
		q.Trim()
		for q.Len() > 0 {
			out++
			require.Equal(t, out, q.Pop())
		}
		require.Equal(t, in, out, "nothing is thrown away with the room")
		q.Trim()
		require.LessOrEqual(t, q.Room(), 8, "an empty one holds next to nothing")
		q.Push(in + 1)
		require.Equal(t, in+1, q.Pop())
	}
}
