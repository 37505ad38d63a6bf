// Package leat is empty: it gives the module's import rule a place to be tested. What there is
// begins with packages domain, app and wiring.
package leat
