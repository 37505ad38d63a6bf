// Package sqltx is how a repository runs its SQL in the transaction that the context carries,
// whichever store it is on.
//
// # What reads the same on every store
//
// A placeholder is ?, once for each argument, in their order. Integers are BIGINT, texts TEXT,
// bytes BYTEA, fractions DOUBLE PRECISION. Truth is a BIGINT of 0 or 1, and a time is a BIGINT of
// microseconds (Micros, FromMicros): not every store has types of its own for them. NULL is read
// into a pointer to a pointer or a sql.Null. No row is sql.ErrNoRows.
//
// "INSERT … ON CONFLICT DO NOTHING" tells by its affected rows whether something was there already,
// and "UPDATE … WHERE version = ?" whether somebody else was faster; no driver's error codes are
// needed for that. What cannot be said in one way for all is chosen by the store's Dialect.
//
// # What a transaction asks of its user
//
// On a server transactions run side by side: what one has read may have changed by the time it
// writes, unless the writing statement looks again. A statement that failed may have spoilt the
// transaction. Return its error; what may fail goes into an InTx of its own, which rolls back alone.
// One thing runs at a time: rows are read to their end or closed before the next statement.
//
// What the tables hold is the repositories' business. Stores pass sqltxtest.
package sqltx
