// Package load is the clients of the program: they publish, alone and in batches, give commands to
// aggregates, retry dead letters and watch the live feed, and keep their journals for the oracle.
package load
