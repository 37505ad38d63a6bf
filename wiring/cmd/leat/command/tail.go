package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (a App) tail() *cobra.Command {
	var flags clientFlags
	var types, subjects []string
	var after int64
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they happen, until Ctrl-C",
		Long: `Print events as they happen, until Ctrl-C.

With --after it begins with what the log holds behind that position; 0 is the log's beginning.
When the connection is lost it comes back and goes on behind the last position it saw. Positions
that are no longer kept are told on stderr.`,
		Example: `  leat tail --type 'build.*' --type project.created
  leat tail --after 0 -o jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.checkOutput(outputTable, outputJSONL); err != nil {
				return err
			}
			if after < 0 {
				return usage("--after: %d is not a position, 0 or more", after)
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			t := &tail{app: a, output: flags.output, feed: &feed{client: c, types: types, subjects: subjects}}
			if cmd.Flags().Changed("after") {
				t.feed.after = &after
			}
			return t.run(cmd.Context())
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&types, "type", nil, "only types that this `pattern` selects, such as build.*; may be given several times")
	f.StringArrayVar(&subjects, "subject", nil, "only events about this; may be given several times")
	f.Int64Var(&after, "after", 0, "begin behind this `position` of the log (default: with what comes)")
	return cmd
}

// tail prints what a feed delivers, and comes back to it when it is lost.
type tail struct {
	app    App
	output string
	feed   *feed
	headed bool
}

func (t *tail) run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := t.feed.follow(ctx, t.show)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the tail was asked to end; that its connection did too is no error
		}
		var lost *lostError
		switch {
		case errors.As(err, &lost):
			attempt = 0
			fmt.Fprintf(t.app.Stderr, "leat: %s; reconnecting\n", plain(err.Error()))
		case !t.feed.greeted || exitCode(err) != exitUnavailable:
			return err
		}
		pause := time.NewTimer(t.pause(attempt))
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

func (t *tail) pause(attempt int) time.Duration {
	if t.app.Reconnect != nil {
		return t.app.Reconnect(attempt)
	}
	return min(100*time.Millisecond<<min(attempt, 10), 5*time.Second)
}

// The columns of a table whose rows come one by one.
const tailRow = "%-10s  %-24s  %-28s  %-24s  %s\n"

func (t *tail) show(f frame) error {
	if f.Op == opGap {
		_, err := fmt.Fprintf(t.app.Stderr, "leat: gap: positions %d to %d are no longer kept\n", f.From, f.To)
		return err
	}
	if t.output == outputJSONL {
		text, err := json.Marshal(struct {
			Position   int64           `json:"position,omitempty"`
			Unrecorded bool            `json:"unrecorded,omitempty"`
			Event      json.RawMessage `json:"event"`
		}{f.Position, f.Unrecorded, f.Event})
		if err != nil {
			return err
		}
		return writeJSON(t.app.Stdout, outputJSONL, text)
	}
	e, err := readAttributes(f.Event)
	if err != nil {
		return err
	}
	if !t.headed {
		t.headed = true
		if _, err := fmt.Fprintf(t.app.Stdout, tailRow, "POSITION", "TIME", "TYPE", "SUBJECT", "DATA"); err != nil {
			return err
		}
	}
	position := "-" // on the fast path an event has none yet
	if f.Unrecorded {
		position = "unrecorded"
	}
	if f.Position > 0 {
		position = strconv.FormatInt(f.Position, 10)
	}
	_, err = fmt.Fprintf(t.app.Stdout, tailRow, position, moment(e.Time), plain(e.Type), plain(dash(e.Subject)), plain(string(e.Data)))
	return err
}
