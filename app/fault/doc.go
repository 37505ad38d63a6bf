// Package fault names the places at which a process may die without breaking a promise. A call of
// Point costs nothing and does nothing, unless the program is built with the tag "faults": then
// the variable LEAT_TEST_FAULT arms one point, "settle.before-ack:3", and the third time that the
// process gets there it kills itself as kill -9 would, with nothing flushed and nobody told.
//
// A name begins with the name of the package that the point is in, and stands in one call only, as a
// literal, so that the list of all points can be read from the source (package faulttest).
package fault
