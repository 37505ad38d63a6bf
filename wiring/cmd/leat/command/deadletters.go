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

// letter is a dead letter, as the API shows it.
type letter struct {
	ID       string          `json:"id"`
	Set      string          `json:"set"`
	Position int64           `json:"position"`
	Event    json.RawMessage `json:"event"`
	Attempts int             `json:"attempts"`
	Reason   string          `json:"reason"`
	Failed   time.Time       `json:"failed"`
	State    string          `json:"state"`
}

func (a App) deadLetters() *cobra.Command {
	var flags clientFlags
	cmd := family("dead-letters", "Look at events that a handler set gave up on, and decide about them",
		a.deadLettersList(&flags), a.deadLettersShow(&flags),
		a.deadLettersDecide(&flags, "retry", "Give events back to the handler set that gave up on them"),
		a.deadLettersDecide(&flags, "discard", "Mark events as not needed; they stay readable"))
	flags.register(cmd)
	return cmd
}

func (a App) deadLettersList(flags *clientFlags) *cobra.Command {
	var p page
	var set, typ, state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var answer struct {
				DeadLetters []json.RawMessage `json:"deadLetters"`
				Next        string            `json:"next"`
			}
			text, err := c.get(cmd.Context(), &answer, p.query("set", set, "type", typ, "state", state), "dead-letters")
			if err != nil {
				return err
			}
			switch flags.output {
			case outputJSON:
				return writeJSON(a.Stdout, outputJSON, text)
			case outputJSONL:
				a.more(answer.Next)
				return writeLines(a.Stdout, answer.DeadLetters)
			}
			t := table{head: []string{"ID", "TYPE", "STATE", "ATTEMPTS", "FAILED", "REASON"}}
			for _, item := range answer.DeadLetters {
				var l letter
				if err := json.Unmarshal(item, &l); err != nil {
					return fmt.Errorf("read a dead letter of the answer: %w", err)
				}
				e, err := readAttributes(l.Event)
				if err != nil {
					return err
				}
				t.add(l.ID, e.Type, l.State, strconv.Itoa(l.Attempts), moment(l.Failed), short(l.Reason, 80))
			}
			a.more(answer.Next)
			return t.write(a.Stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&set, "set", "", "only of this handler `set`")
	f.StringVar(&typ, "type", "", "only events of this type; build.* stands for all that begin with build.")
	f.StringVar(&state, "state", "", "only open, retrying or discarded (default: open and retrying)")
	p.register(cmd)
	return cmd
}

func (a App) deadLettersShow(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter with its event and its reason",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var l letter
			text, err := c.get(cmd.Context(), &l, nil, "dead-letters", args[0])
			if err != nil {
				return err
			}
			if flags.output != outputTable {
				return writeJSON(a.Stdout, flags.output, text)
			}
			t := table{head: []string{"dead letter", l.ID}}
			t.add("handler set", l.Set)
			t.add("state", l.State)
			t.add("attempts", strconv.Itoa(l.Attempts))
			t.add("failed", moment(l.Failed))
			t.add("reason", l.Reason)
			t.add("position", strconv.FormatInt(l.Position, 10))
			if err := addAttributes(&t, l.Event); err != nil {
				return err
			}
			if err := t.write(a.Stdout); err != nil {
				return err
			}
			return a.showData(l.Event)
		},
	}
}

// deadLettersDecide is retry or discard: of the letters that are named, or of all that a filter
// selects.
func (a App) deadLettersDecide(flags *clientFlags, action, short string) *cobra.Command {
	var set, typ string
	var all bool
	cmd := &cobra.Command{
		Use:   action + " ID... | " + action + " [--set SET] [--type TYPE] | " + action + " --all",
		Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			filtered := set != "" || typ != ""
			if count(len(args) > 0, filtered, all) != 1 {
				return errors.New("want ids, or --set and --type, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.decideMany(cmd.Context(), c, flags.output, action, set, typ)
			}
			return a.decideEach(cmd.Context(), c, flags.output, action, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&set, "set", "", "all open ones of this handler `set`")
	f.StringVar(&typ, "type", "", "all open ones of this event type; build.* stands for all that begin with build.")
	f.BoolVar(&all, "all", false, "all open ones")
	return cmd
}

// decideEach stops at the first letter for which it cannot be decided; what was decided before is
// printed.
func (a App) decideEach(ctx context.Context, c *client, output, action string, ids []string) error {
	type decided struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	t := table{head: []string{"ID", "STATUS"}}
	var failed error
	for _, id := range ids {
		var answer decided
		if _, err := c.post(ctx, &answer, nil, "dead-letters", id, action); err != nil {
			failed = fmt.Errorf("%s %s: %w", action, id, err)
			break
		}
		answer.ID = id
		t.add(id, answer.Status)
		if output == outputTable {
			continue
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if err := writeJSON(a.Stdout, output, text); err != nil {
			return err
		}
	}
	if output == outputTable && len(t.rows) > 0 {
		return errors.Join(t.write(a.Stdout), failed)
	}
	return failed
}

func (a App) decideMany(ctx context.Context, c *client, output, action, set, typ string) error {
	var answer struct {
		Count int `json:"count"`
	}
	filter := map[string]string{"set": set, "type": typ}
	text, err := c.post(ctx, &answer, filter, "dead-letters", action)
	if err != nil {
		return err
	}
	if output != outputTable {
		return writeJSON(a.Stdout, output, text)
	}
	t := table{head: []string{"COUNT"}}
	t.add(strconv.Itoa(answer.Count))
	return t.write(a.Stdout)
}

func count(truths ...bool) int {
	n := 0
	for _, t := range truths {
		if t {
			n++
		}
	}
	return n
}
