// Package reference says what becomes of the reference domain's events: how they travel, which are
// audited, which lead to a mail and what those mails say. It is an example of what a service
// brings to the framework; nothing of the framework knows it. How events are stored, sent or shown
// is not said here.
package reference
