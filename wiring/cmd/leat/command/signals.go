package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// WithSignals returns a context that ends at the first SIGINT or SIGTERM. The second one calls
// exit with code 1: for those who do not want to wait for what is in hand. stop lets go of the
// signals.
func WithSignals(parent context.Context, stderr io.Writer, exit func(code int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			select {
			case <-stopped:
				return
			case <-signals:
			}
			if !first {
				exit(exitFailure)
				return
			}
			cancel()
			fmt.Fprintln(stderr, "leat: stopping; a second signal stops at once")
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		<-ended
		cancel()
	}
}
