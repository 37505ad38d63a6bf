// Package ledger is a service for counting. Each entry.written goes to audit, may lead to a mail, is
// written by the set "ledger" into a table and by the set "side" into a file; both keep every call. So
// what is lost, made twice, made up, or out of order for its key can be seen from outside.
//
// It runs in tests, and in the program when that is built with the tag "faults".
package ledger
