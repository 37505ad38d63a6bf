//go:build !faults

package main

import "github.com/leat-dev/leat/wiring"

// service is what the program runs.
func service() wiring.Service { return referenceService() }
