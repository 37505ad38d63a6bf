package eventlog

import "context"

// Identified is a log that is told from others.
type Identified interface {
	// Identity returns the log's name for those who keep copies of its events: a UUID that it was
	// given when it was made. A database restored from a copy has the identity of what was copied.
	Identity(ctx context.Context) (string, error)
}
