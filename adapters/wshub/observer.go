package wshub

import "time"

// Observer is told what the hub does, for metrics. Its methods must return at once.
type Observer interface {
	// Clients is told the number of connected clients whenever it changes.
	Clients(n int)
	// Dropped is told of every client that was closed because it was too slow.
	Dropped()
	// Broadcast is told how long one Push took.
	Broadcast(took time.Duration)
}

type nobody struct{}

func (nobody) Clients(int)             {}
func (nobody) Dropped()                {}
func (nobody) Broadcast(time.Duration) {}
