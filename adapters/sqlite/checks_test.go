//go:build !race

package sqlite_test

// checks is how often each model is held against the store.
const checks = "100"
