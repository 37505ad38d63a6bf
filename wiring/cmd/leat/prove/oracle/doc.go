// Package oracle counts what became of events, from outside. What was asked for stands in journals,
// which the clients keep; what came of it is read from the database, from the files of effects, from
// the mail server and from the frames of the live feed. No word of the system itself is taken: neither
// its API nor its metrics.
//
// The journals and the evidence lead to findings, each of a class and against a promise. What is
// still under way counts as lost, so look when everything has settled, or wait until nothing is
// lost.
package oracle
