package domain

// Root is what an aggregate embeds. It keeps the events that the aggregate's decisions recorded
// until a repository has stored them together with the state. The zero value is a new aggregate.
type Root struct {
	pending []Event
	version int64
}

// Record notes a fact that an aggregate has just decided.
func (r *Root) Record(e Event) { r.pending = append(r.pending, e) }

// Pending returns the recorded events that are not stored yet, oldest first.
func (r *Root) Pending() []Event { return append([]Event(nil), r.pending...) }

// Version is the version of the stored state: 0 for an aggregate that was never stored, then one
// more with each save. Repositories compare it to refuse a write over someone else's.
func (r *Root) Version() int64 { return r.version }

// Stored tells the aggregate that its state is stored as the given version and that its pending
// events are in the log. Repositories call it after a load and after the transaction of a save.
func (r *Root) Stored(version int64) {
	r.version = version
	r.pending = nil
}
