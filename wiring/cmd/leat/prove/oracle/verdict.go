package oracle

import (
	"cmp"
	"fmt"
	"slices"
)

// Class says how a promise was broken.
type Class string

// The classes.
const (
	Lost     Class = "lost"         // accepted and not there, or not settled
	Ghost    Class = "ghost"        // there without having been accepted
	Twice    Class = "twice"        // made more often than promised
	Disorder Class = "out of order" // for its key, or on a connection
	Crossed  Class = "crossed"      // seen or stored under a tenant that it is not of
)

// Classes are all classes, in the order of reports.
var Classes = []Class{Lost, Ghost, Twice, Disorder, Crossed}

// Promise is the number of a promise in the README.
type Promise int

// The promises that findings are against.
const (
	Kept        Promise = 1 // accepted means kept
	Settled     Promise = 2 // every accepted event is settled
	Once        Promise = 3 // transactional handlers take effect exactly once
	InOrder     Promise = 4 // the order of a key
	Mailed      Promise = 5 // mails go out at least once
	Live        Promise = 6 // the live feed
	TenantsKept Promise = 7 // nothing crosses a tenant
	OnesOwn     Promise = 8 // one set's fault is its own
)

// Finding is one breach.
type Finding struct {
	Promise Promise
	Class   Class
	Set     string // "" where no set is concerned
	ID      string // of the event, the mail's address, the aggregate
	Detail  string
}

// String is a sentence for a person.
func (f Finding) String() string {
	set := ""
	if f.Set != "" {
		set = " (" + f.Set + ")"
	}
	return fmt.Sprintf("promise %d, %s%s: %s: %s", f.Promise, f.Class, set, f.ID, f.Detail)
}

// Verdict is what the oracle found, and how much it looked at.
type Verdict struct {
	Events   int // accepted by the log
	Accepted int // that a client knows of
	Resolved int // of these, the ones of which it was in doubt at first
	Unsure   int // of which clients do not know whether they were accepted
	Strays   int // messages that could not become events
	Effects  int
	Once     int // effects of the sets that make them exactly once
	Mails    int
	Letters  int // events that ended as dead letters
	Repeats  int // calls of handlers that may be repeated, beyond the first
	Copies   int // second copies of mails
	Frames   int
	Findings []Finding
}

// Count returns how many findings there are against a promise in a class.
func (v *Verdict) Count(p Promise, c Class) int {
	n := 0
	for _, f := range v.Findings {
		if f.Promise == p && f.Class == c {
			n++
		}
	}
	return n
}

// Has tells whether there are findings of a class.
func (v *Verdict) Has(c Class) bool {
	return slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Class == c })
}

func (v *Verdict) add(p Promise, c Class, set, id, format string, args ...any) {
	v.Findings = append(v.Findings, Finding{Promise: p, Class: c, Set: set, ID: id, Detail: fmt.Sprintf(format, args...)})
}

func (v *Verdict) sort() {
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Promise, b.Promise), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Set, b.Set), cmp.Compare(a.ID, b.ID))
	})
}
