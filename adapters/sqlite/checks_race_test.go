//go:build race

package sqlite_test

// checks are fewer under the race detector, which makes SQLite ten times as slow.
const checks = "20"
