// Package event holds what an event is on its way: the envelope with its attributes, the
// definitions that say how a domain event travels, the catalogue that checks and decodes, and the
// mapping to CloudEvents and Watermill messages. It starts nothing and stores nothing.
//
// Attribute names follow CloudEvents 1.0 (binary content mode, "ce-" prefix).
package event
