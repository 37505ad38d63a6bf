//go:build faults

package main

import (
	"github.com/leat-dev/leat/wiring"
	"github.com/leat-dev/leat/wiring/cmd/leat/prove/ledger"
)

// service is what the program runs: with its points armed for dying, also something to count.
func service() wiring.Service { return ledger.Beside(referenceService()) }
