package builds

// State says how far a build is.
type State string

// The states of a build:
//
//	queued ──► started ─┬─► completed
//	   │                ├─► failed
//	   └────────────────┴─► cancelled
const (
	StateQueued    State = "queued"    // waits for its turn
	StateStarted   State = "started"   // runs
	StateCompleted State = "completed" // the image is there
	StateFailed    State = "failed"    // it broke
	StateCancelled State = "cancelled" // somebody gave it up
)

// Final tells whether the state is never left again.
func (s State) Final() bool { return s == StateCompleted || s == StateFailed || s == StateCancelled }
