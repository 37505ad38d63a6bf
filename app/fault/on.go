//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Variable arms a point: its name, a colon, and at which pass the process dies, from 1.
const Variable = "LEAT_TEST_FAULT"

// Point is a place at which the process may die.
func Point(name string) {
	if a := armed(); a != nil && a.name == name && a.left.Add(-1) == 0 {
		die(name)
	}
}

// arming is the point that was chosen, and how many passes are left.
type arming struct {
	name string
	left atomic.Int64
}

var armed = sync.OnceValue(func() *arming {
	value := os.Getenv(Variable)
	if value == "" {
		return nil
	}
	name, count, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("%s=%s: want a point and the number of a pass, such as settle.before-ack:3", Variable, value))
	}
	a := &arming{name: name}
	a.left.Store(n)
	return a
})

// die ends the process on the spot. What it says goes straight to the file, for whoever wants to know
// that it was no other death.
func die(name string) {
	_, _ = fmt.Fprintf(os.Stderr, "fault: died at %s\n", name)
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {} // the signal is on its way
}
