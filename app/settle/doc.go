// Package settle brings events to a handler set in the order of their keys and keeps the one record
// of what the set has done with them.
//
// A Group stands between a bus and the Watermill router. The slots of the log are dealt to the
// set's lanes; a lane is worked by one owner at a time (a fenced lease in the store) and one event
// at a time, which is what keeps a key in order. The bus only says sooner what the log says anyway:
// an event at or under the slot's cursor is a repeat and acked; one beyond a gap makes the lane
// read the log. An event that fails is parked in the transaction that moves the cursor; what follows it
// in its key is parked behind it, in order, and other keys go on.
//
// Goroutines of a Group, all ended when its output channel closes: one that takes from the bus,
// one that keeps the leases and watches for changes, one for each lane. The router's goroutine
// runs the handler and the chain. The lane goes on when only the commit of the outcome is missing, and back
// when that fails; what it says about its place, it says about what is committed.
//
// A Tail serves sets that every process runs: all events from the present end, in log order,
// without a record.
//
// This package knows the ports of store, log and bus; it must not know the router or an adapter.
package settle
