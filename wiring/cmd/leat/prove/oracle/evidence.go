package oracle

// Evidence is what can be seen from outside.
type Evidence struct {
	Log           []Logged // what the log holds, by position; what has none yet comes first
	PrunedThrough int64    // up to this position the log may have forgotten
	Effects       []Effect // of each set in the order in which they were made
	Letters       []Letter
	Parked        []Waiting
	Mails         []Mail   // as the mail server took them
	Queue         []Queued // mails that are not settled
	Feeds         []Feed
	States        []State
}

// Logged is an event of the log.
type Logged struct {
	Position int64 // 0: it has none yet
	ID       string
	Source   string
	Tenant   string
	Type     string
	Subject  string
	Key      string
	Asked    string // the id of the intent that it says it comes from; empty: nobody asked for it by itself
	To       string // of notification.sent
	Recorded int64  // when it was accepted, in microseconds
}

// Effect is one call of a handler that left its mark.
type Effect struct {
	Set      string
	Tenant   string
	EventID  string
	Key      string
	Position int64
	Redriven bool  // given back from the dead letters: it may come late
	At       int64 // when the handler was called, in nanoseconds since 1970; 0: not known
}

// Letter is a dead letter.
type Letter struct {
	Set      string
	Tenant   string
	EventID  string
	Position int64  // 0 or less: of a message that became no event
	State    string // open, retrying, discarded, handled
	Says     string // the id of the intent that such a message says it comes from
	At       int64  // when the last attempt failed, in nanoseconds since 1970
}

// Stray tells whether the letter is of a message that came from outside and became no event.
func (l *Letter) Stray() bool { return l.Position <= 0 }

// Waiting is a parked event.
type Waiting struct {
	Set      string
	Position int64
}

// Mail is a mail that a mail server took.
type Mail struct{ To, MessageID string }

// Queued is a mail in the queue.
type Queued struct{ Tenant, To, Status string }

// State is an aggregate as its table shows it; Asked is the intent that it says was its last.
type State struct{ Tenant, ID, Asked string }

// Feed is what one client of the live feed was told, over all its connections.
type Feed struct {
	Client string
	Tenant string
	Frames []Frame
}

// Frame is one frame, or the beginning of a connection.
type Frame struct {
	Connection int    `json:"connection"`
	Op         string `json:"op"` // "resume" is the client's own: where it asked to go on
	Position   int64  `json:"position,omitempty"`
	From       int64  `json:"from,omitempty"` // of a gap
	To         int64  `json:"to,omitempty"`
	EventID    string `json:"event,omitempty"`
	Tenant     string `json:"tenant,omitempty"` // of the event
}
