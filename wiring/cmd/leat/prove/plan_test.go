//go:build prove

package prove_test

import "strings"

// when says what a process must be doing to pass a point.
type when int

const (
	working   when = iota // it starts and works
	fresh                 // it starts on a new store
	draining              // it was asked to stop, with work in hand
	inherited             // it takes over from a process that died at work
	haunted               // one event has killed several processes
	pruning               // somebody prunes the log
	joined                // somebody new comes for a share of the lanes
	strange               // messages come that never become events, or are events of others
)

// plan is how a process comes to a point.
type plan struct {
	when when
	most int // passes that can be counted on
}

// planOf says what leads to the points that not every start and every load passes many times.
func planOf(point string) plan {
	_, what, _ := strings.Cut(point, ".")
	switch what {
	case "prepared", "sets-registered", "leases-expired", "leading":
		return plan{working, 1}
	case "attended":
		return plan{working, 8}
	case "part-begun", "making-consumer", "consumer-made":
		return plan{working, 4}
	case "deciding-letter", "letter-decided", "burying", "buried", "parking", "parked", "parked-in-hand", "parked-behind",
		"renewing", "leases-renewed", "finished", "recorded":
		return plan{working, 3}
	case "migration-read", "migrated", "set-inserted":
		return plan{fresh, 3}
	case "stream-made":
		return plan{fresh, 1}
	case "stopping", "stopped", "draining":
		return plan{draining, 1}
	case "cursors-advanced", "leaving", "left":
		return plan{draining, 2}
	case "part-stopping", "part-stopped":
		return plan{draining, 6}
	case "letting-go", "flushed", "lane-released":
		return plan{draining, 8}
	case "closing":
		return plan{draining, 1}
	case "careful", "in-hand-noted":
		return plan{inherited, 3}
	case "deaths-buried":
		return plan{haunted, 1}
	case "yielding", "yielded":
		return plan{joined, 3}
	case "rejecting", "rejected", "foreign-taken", "refusing", "refused":
		return plan{strange, 3}
	case "pushing", "pushed":
		return plan{working, 5}
	case "events-pruned":
		return plan{pruning, 2}
	}
	return plan{working, 25}
}
