// Package live is the fast path: it takes real-time events from the publisher to the clients of the
// live feed, beside the log and ahead of it. It is a publish.Live.
//
// # The ways
//
// An event goes several ways at once: to the clients of this process, and, where there is a broker, to
// the other processes that broadcast. Each way has its own queue and its own goroutine, so that one
// that hangs holds up neither the publisher nor the other ways, and each keeps the order of the pushes.
//
// # What is promised
//
// Push returns at once. A way that fails, or whose queue is full, costs a warning (at most one in ten
// seconds, with the number of events it is about) and is counted: the reliable path brings the
// events. What waits in a queue when Run ends is left to the reliable path too.
//
// Events that the log did not take have no other path. PushUnrecorded waits for each way's answer,
// a few seconds at most, and tells whether they went out.
//
// The package knows neither connections nor brokers, and nothing of who has seen an event already:
// that is for those who hold the clients.
package live
