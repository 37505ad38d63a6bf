package command

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// handlerSet is a handler set, as the API shows it.
type handlerSet struct {
	Name          string   `json:"name"`
	Types         []string `json:"types"`
	EveryInstance bool     `json:"everyInstance"`
	Paused        bool     `json:"paused"`
	Lanes         int      `json:"lanes"`
	IdleLanes     int      `json:"idleLanes"`
	Backlog       int64    `json:"backlog"`
	Parked        int64    `json:"parked"`
	DeadLetters   int64    `json:"deadLetters"`
}

func (a App) handlers() *cobra.Command {
	var flags clientFlags
	cmd := family("handlers", "Look at the handler sets, pause, resume and forget them",
		a.handlersList(&flags),
		a.handlersSwitch(&flags, "pause", "Let handler sets stop taking events; what comes in meanwhile waits"),
		a.handlersSwitch(&flags, "resume", "Let paused handler sets go on"),
		a.handlersForget(&flags))
	flags.register(cmd)
	return cmd
}

func (a App) handlersList(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the handler sets",
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
				Handlers []json.RawMessage `json:"handlers"`
			}
			text, err := c.get(cmd.Context(), &answer, nil, "handlers")
			if err != nil {
				return err
			}
			if flags.output == outputJSON {
				return writeJSON(a.Stdout, outputJSON, text)
			}
			return a.showHandlers(flags.output, answer.Handlers)
		},
	}
}

func (a App) handlersSwitch(flags *clientFlags, action, short string) *cobra.Command {
	return &cobra.Command{
		Use:   action + " NAME...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var sets []json.RawMessage
			for _, name := range args {
				var set json.RawMessage
				if _, err := c.post(cmd.Context(), &set, nil, "handlers", name, action); err != nil {
					return fmt.Errorf("%s %s: %w", action, name, err)
				}
				sets = append(sets, set)
			}
			return a.showHandlers(flags.output, sets)
		},
	}
}

// forgotten is what was let go of, as the API shows it.
type forgotten struct {
	Name    string   `json:"name"`
	Types   []string `json:"types"`
	Cursors int64    `json:"cursors"`
	Parked  int64    `json:"parked"`
}

func (a App) handlersForget(flags *clientFlags) *cobra.Command {
	var types []string
	cmd := &cobra.Command{
		Use:   "forget NAME [--type TYPE]...",
		Short: "Let go of what is stored of a handler set that is no more, or of event types that it handles no more",
		Long: `Let go of what is stored of a handler set that is no more: its cursors and the events that wait for
another attempt. Its dead letters stay. With --type, let go of these event types only, so that processes
which do not handle them may work the set. Refused while any process works the set.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			if slices.Contains(types, "") {
				return usage("--type: an event type must not be empty")
			}
			if args[0] == "" {
				return usage("the name of a handler set must not be empty")
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var gone forgotten
			text, err := c.delete(cmd.Context(), &gone, url.Values{"type": types}, "handlers", args[0])
			if err != nil {
				return fmt.Errorf("forget %s: %w", args[0], err)
			}
			if flags.output != outputTable {
				return writeJSON(a.Stdout, flags.output, text)
			}
			t := table{head: []string{"FORGOTTEN", "CURSORS", "PARKED", "TYPES"}}
			t.add(gone.Name, strconv.FormatInt(gone.Cursors, 10), strconv.FormatInt(gone.Parked, 10), short(strings.Join(gone.Types, " "), 80))
			return t.write(a.Stdout)
		},
	}
	cmd.Flags().StringArrayVar(&types, "type", nil, "let go of this event `type` only; may be repeated")
	return cmd
}

func (a App) showHandlers(output string, sets []json.RawMessage) error {
	if output == outputJSONL {
		return writeLines(a.Stdout, sets)
	}
	t := table{head: []string{"NAME", "STATE", "LANES", "BACKLOG", "PARKED", "DEAD LETTERS", "TYPES"}}
	for _, text := range sets {
		if output == outputJSON {
			if err := writeJSON(a.Stdout, outputJSON, text); err != nil {
				return err
			}
			continue
		}
		var s handlerSet
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("read a handler set of the answer: %w", err)
		}
		state := "running"
		switch {
		case s.Paused:
			state = "paused"
		case !s.EveryInstance && s.IdleLanes == s.Lanes:
			state = "idle" // nobody works it
		}
		if s.EveryInstance { // such a set keeps no record that could be counted
			t.add(s.Name, state, "-", "-", "-", "-", short(strings.Join(s.Types, " "), 80))
			continue
		}
		lanes := fmt.Sprintf("%d/%d", s.Lanes-s.IdleLanes, s.Lanes)
		t.add(s.Name, state, lanes, strconv.FormatInt(s.Backlog, 10), strconv.FormatInt(s.Parked, 10),
			strconv.FormatInt(s.DeadLetters, 10), short(strings.Join(s.Types, " "), 80))
	}
	if output == outputJSON {
		return nil
	}
	return t.write(a.Stdout)
}
