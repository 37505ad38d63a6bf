// Package command is the command line: what can be typed, what is printed, and with which code the
// program ends. Data goes to stdout, everything else to stderr.
//
// Commands of two kinds stand side by side: those that run the service take a configuration and
// call what App holds; those that talk to a running server speak HTTP and WebSocket and know no
// more of it than any other client.
//
// Exit codes: 0 ok, 1 failure, 2 usage (a faulty configuration included), 3 not allowed, 4 not
// found, 5 rejected, 6 unavailable.
package command
