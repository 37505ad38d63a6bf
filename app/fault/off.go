//go:build !faults

package fault

// Point is a place at which the process may die.
func Point(string) {}
