// Package postgres keeps the event log, what handler sets have settled and the dead letters in a
// PostgreSQL database, shared by any number of processes. It may be the application's own: every
// name begins with a prefix.
//
// # Positions come after the commit
//
// Sequence numbers commit out of order, so no reader may trust them. Append puts an event into the
// log and its number among the unsequenced; the one active sequencer (Lead) takes what is committed
// from there and gives positions, over the connection that holds its advisory lock. Readers know
// positions only. A transaction that never commits is never seen by the sequencer, and so delays
// nobody.
//
// # What is promised
//
// Every session sets synchronous_commit=on, and a server with fsync=off is refused: what was
// committed survives a kill and a power cut, on a disk that does not lie. When the connection is
// lost while a COMMIT is under way nobody can know its outcome: the caller gets a
// domain.Unavailable error with the code OUTCOME_UNKNOWN and repeats under the same event id.
//
// Concurrent appends share a commit, and so do the settlements of one set: also of one lane, which goes on to its next
// event when only the commit of the one before is missing. Leases of lanes and of
// mails run by the clock of the database, so that processes need not agree on the time.
// Times are microseconds since 1970, UTC; finer parts are cut off.
//
// NOTIFY only wakes: it is sent beside the transactions, seldom, and whoever waits for it polls as well.
// A connection pooler between must pool sessions, not transactions: locks and LISTEN belong to sessions.
//
// Nothing of transports, handlers or HTTP belongs here.
package postgres
