// Package prove shows that the promises of the README hold while things break. Its tests start the
// program as users run it, built with the tag "faults", let it die at the points that package fault
// names, kill it from outside, ask it to stop, or break the servers, the connections and the disk that
// it has, while clients publish; then they let everything settle and count with the oracle, which
// believes nobody but the database, the mail server and the clients.
//
// They take minutes and are behind the tag "prove": make prove runs a short round of everything,
// make prove-long more than a thousand deaths. The packages below, which do the counting, have tests
// of their own that always run.
package prove
