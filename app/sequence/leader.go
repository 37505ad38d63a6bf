package sequence

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Leader is a log that gives positions some time after the commit, by one process at a time. A log
// that gives them with the append, as SQLite's does, is none.
type Leader interface {
	// Lead waits until this process is the one, and then calls lead. The context of lead ends when
	// the process no longer is; Lead returns when lead has. An error of lead is returned as it is,
	// and a domain.Unavailable error when the store cannot be reached.
	Lead(ctx context.Context, lead func(ctx context.Context, assign Assign) error) error
	// Unsequenced returns a channel that is closed at the next commit of this process that
	// appended events. Commits of others are found by calling assign.
	Unsequenced() <-chan struct{}
}

// Counter tells how many events are committed and have no position; more than MostCounted are
// counted as that many.
type Counter interface {
	CountUnsequenced(ctx context.Context) (int, error)
}

// MostCounted bounds what a Counter counts.
const MostCounted = 100_000

// Assign gives positions to what is committed and has none, in the order of insertion, and returns
// to how many: 0 when there is nothing more. It fails when the process has lost the lead.
type Assign func(ctx context.Context) (n int, err error)

// Pauses of assigning, of the machine's time: between looks for what other processes appended, the
// longer the longer there is nothing; and before the lead is taken again after an error.
const (
	shortestLook = 5 * time.Millisecond
	longestLook  = 100 * time.Millisecond
	afterFailure = 200 * time.Millisecond
	// Where many come at once, the next look waits a little: it costs the store as much as dozens of events.
	gatherFor  = time.Millisecond
	gatherFrom = 16
	gatherTo   = 500
)

// lead takes part in the election until ctx ends. While this process leads it gives positions, and
// runs along where it is not nil.
func lead(ctx context.Context, l Leader, logger *slog.Logger, along func(ctx context.Context)) {
	for ctx.Err() == nil {
		err := l.Lead(ctx, func(ctx context.Context, assign Assign) error {
			logger.Info("this process gives the positions now")
			var wg sync.WaitGroup
			defer wg.Wait()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			if along != nil {
				wg.Go(func() { along(ctx) })
			}
			return sequence(ctx, l, assign, logger)
		})
		if ctx.Err() != nil {
			return
		}
		logger.Warn("this process does not give the positions any more", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(afterFailure):
		}
	}
}

// sequence gives positions until ctx ends.
func sequence(ctx context.Context, l Leader, assign Assign, logger *slog.Logger) error {
	pause := shortestLook
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		unsequenced := l.Unsequenced()
		n, err := assign(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case err != nil:
			logger.Warn("give positions", "error", err)
			pause, unsequenced = longestLook, nil // wait the full pause
		case n >= gatherFrom && n < gatherTo:
			pause, unsequenced = gatherFor, nil
		case n > 0:
			pause = shortestLook
		default:
			pause = min(max(pause, shortestLook)*3/2, longestLook)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-unsequenced:
		case <-timer.C:
		}
	}
}
