package wshub

// queueKept is how much room an empty queue keeps, in frames: a client that gets one now and then does
// not pay for it anew each time.
const queueKept = 8

// queue holds the frames that wait for a client, the oldest first. It grows as it must and holds next to
// nothing when it is empty, since most queues are. Who pushes sees to it that it does not grow for ever.
type queue struct {
	ring  []*frame
	first int // where in the ring the oldest is
	n     int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(f *frame) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.n)%len(q.ring)] = f
	q.n++
}

func (q *queue) grow() {
	ring := make([]*frame, max(queueKept, 2*len(q.ring)))
	copied := copy(ring, q.ring[q.first:])
	copy(ring[copied:], q.ring[:q.first])
	q.ring, q.first = ring, 0
}

// pop takes the oldest out; there must be one.
func (q *queue) pop() *frame {
	f := q.ring[q.first]
	q.ring[q.first] = nil
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	return f
}

// trim lets go of the room that a queue took which is empty again.
func (q *queue) trim() {
	if q.n == 0 && len(q.ring) > queueKept {
		*q = queue{}
	}
}
