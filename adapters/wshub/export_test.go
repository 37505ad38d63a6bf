package wshub

import "github.com/leat-dev/leat/app/event"

// Parsed is a client's frame that was understood.
type Parsed struct{ s *subscription }

// Parse reads a client's frame; code says why it is refused.
func Parse(text []byte) (p Parsed, code string) {
	s, refused := parse(text)
	if refused != nil {
		return Parsed{}, refused.code
	}
	return Parsed{s}, ""
}

// Matches tells whether the client wants the event.
func (p Parsed) Matches(e event.Envelope) bool { return p.s.matches(&e) }

// Its content.
func (p Parsed) Types() []event.Pattern { return p.s.types }
func (p Parsed) Subjects() []string     { return p.s.subjects }
func (p Parsed) After() *int64          { return p.s.after }

// Writers is how many clients have a writer.
func (h *Hub) Writers() int {
	return h.clientsThat(func(c *client) bool { return c.writing })
}

// Stranded tells whether a client has frames in its queue and no writer.
func (h *Hub) Stranded() bool {
	return h.clientsThat(func(c *client) bool { return !c.writing && c.queue.len() > 0 }) > 0
}

func (h *Hub) clientsThat(match func(*client) bool) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.each(func(c *client) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if match(c) {
			n++
		}
	})
	return n
}

// Queue is what frames wait in. A frame is known by its position here.
type Queue struct{ q queue }

func (q *Queue) Push(position int64) { q.q.push(&frame{event: event.Envelope{Position: position}}) }
func (q *Queue) Pop() int64          { return q.q.pop().event.Position }
func (q *Queue) Len() int            { return q.q.len() }
func (q *Queue) Trim()               { q.q.trim() }

// Room is how many frames fit before it grows.
func (q *Queue) Room() int { return len(q.q.ring) }

// Recent is what remembers events; here it knows them by their ids.
type Recent struct{ r recent }

// NewRecent returns one that remembers at most limit events.
func NewRecent(limit int) *Recent { return &Recent{recent{limit: limit}} }

func (r *Recent) Add(id string) bool  { return r.r.add(eventKey{id: id}) }
func (r *Recent) Take(id string) bool { return r.r.take(eventKey{id: id}) }

// Room is for how many events it holds memory.
func (r *Recent) Room() int { return cap(r.r.order) }
