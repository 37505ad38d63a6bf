package settle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// Registration makes a handler set known to the store.
type Registration struct {
	Set       string
	Types     []string // what it subscribes to
	FromStart bool     // a set seen for the first time begins at the start of the log, else after its present end
}

// Union returns the types that the set has with this registration, sorted; grown tells whether there
// are more of them than stored.
func (r Registration) Union(stored []string) (union []string, grown bool) {
	union = append(append([]string{}, stored...), r.Types...)
	slices.Sort(union)
	union = slices.Compact(union)
	return union, len(union) > len(stored)
}

// Claim asks for a lane of a set.
type Claim struct {
	Set   string
	Lane  int
	Lanes int      // how many lanes the claimant deals the slots of the set to
	Types []string // what the claimant handles
	Owner string   // names the process; not empty
	TTL   time.Duration
}

// Attendance is what there is to share.
type Attendance struct {
	Owners int   // how many processes would work the set now, with as many lanes as the claimant
	Free   []int // lanes that the claimant may acquire, ascending
}

// AllLanes returns the numbers of that many lanes.
func AllLanes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Share is how many lanes a process holds at most: the others have as many, or one less.
func (a Attendance) Share(lanes int) int { return (lanes + a.Owners - 1) / a.Owners }

// Validate tells whether there can be such a lane.
func (c Claim) Validate() error {
	if c.Lanes < 1 || c.Lanes > event.Slots || c.Lane < 0 || c.Lane >= c.Lanes {
		return fmt.Errorf("claim a lane of %s: there is no lane %d of %d", c.Set, c.Lane, c.Lanes)
	}
	return nil
}

// Covers returns an UnknownTypes error when the set has types that the claimant does not handle.
func (c Claim) Covers(stored []string) error {
	var unknown []string
	for _, typ := range stored {
		if !slices.Contains(c.Types, typ) {
			unknown = append(unknown, typ)
		}
	}
	if unknown == nil {
		return nil
	}
	return &UnknownTypes{Set: c.Set, Types: unknown}
}

// UnknownTypes refuses a claim: the claimant would step over the events of these types.
type UnknownTypes struct {
	Set   string
	Types []string
}

func (e *UnknownTypes) Error() string {
	return fmt.Sprintf("handler set %s has event types that this process does not handle: %s", e.Set, strings.Join(e.Types, ", "))
}

// OtherLanes refuses a claim: others work the set with another number of lanes.
type OtherLanes struct {
	Set     string
	InForce int // 0: by a program that does not say how many it has
	Claimed int
	Owner   string // one of them
}

func (e *OtherLanes) Error() string {
	return fmt.Sprintf("handler set %s is worked with %d lanes by %s, and this process has %d", e.Set, e.InForce, e.Owner, e.Claimed)
}

// Forgotten is what was let go of.
type Forgotten struct {
	Types   []string
	Cursors int // 0 when only types were forgotten
	Parked  int // events that waited for another attempt; the same
}

// Without returns the stored types of a set without some of them, a domain.NotFound error when it
// has not got them all.
func Without(set string, stored, types []string) ([]string, error) {
	rest := []string{}
	for _, typ := range types {
		if !slices.Contains(stored, typ) {
			return nil, domain.Errorf(domain.NotFound, "HANDLER_TYPE_NOT_FOUND", "handler set %q has no event type %q", set, typ)
		}
	}
	for _, typ := range stored {
		if !slices.Contains(types, typ) {
			rest = append(rest, typ)
		}
	}
	return rest, nil
}

// AtWork is the error of forgetting what somebody works: a domain.Conflict.
func AtWork(set, owner string) error {
	return domain.Errorf(domain.Conflict, "HANDLER_AT_WORK", "handler set %q is at work at %s: stop that process first", set, owner)
}
