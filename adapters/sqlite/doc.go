// Package sqlite keeps the event log, what handler sets have settled and the dead letters in one
// SQLite file: the embedded store, for one process per file.
//
// # One writer
//
// Everything that writes is a function that the committer's goroutine runs on the one writing
// connection. It begins a transaction, runs the function under a savepoint of its own, takes more
// from the queue while there are some, commits, and only then tells the callers. So concurrent
// callers share an fsync, and one that fails takes nobody along. A function must therefore not
// wait for anything but the database, and must not call InTx with a context that does not carry
// its transaction: it would wait for itself.
//
// Appends outside a transaction are held back for those that come next, and inserted with one
// statement before anything else runs that came later. A statement that fails is undone by SQLite, and
// each of its appends is tried alone.
//
// Reads outside a transaction go to a pool of read-only connections and never wait for the writer.
//
// # What is promised
//
// WAL with synchronous=FULL: what was committed survives a kill and a power cut, on a disk that
// does not lie. When SQLite gives up a whole transaction (a full disk, an I/O error), every caller
// whose work it held gets a domain.Unavailable error with the code STORE_UNAVAILABLE. Nothing
// interrupts a statement of a transaction, since SQLite answers an interrupted write by rolling
// back the transaction with everybody's work: contexts are looked at before each statement.
//
// Open takes a lock on "<path>.lock", so every lease found in the file is a dead process's and
// counts as expired. Times are microseconds since 1970, UTC; finer parts are cut off.
//
// Nothing of transports, handlers or HTTP belongs here.
package sqlite
