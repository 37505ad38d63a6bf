// Package proxy stands between a program and a server, and breaks their connections as networks do: it
// cuts them, lets them fall silent, slows them down, and takes an answer away at the moment at which
// it matters. It runs in the test's own process and changes no setting of the machine.
package proxy
