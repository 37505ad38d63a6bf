package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// loggedEvent is an event with its place in the log, as the API shows it.
type loggedEvent struct {
	Position int64           `json:"position"`
	Recorded time.Time       `json:"recorded"`
	Event    json.RawMessage `json:"event"`
}

// attributes are those of a CloudEvent that tables show.
type attributes struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Source        string          `json:"source"`
	Subject       string          `json:"subject"`
	Time          time.Time       `json:"time"`
	Tenant        string          `json:"tenantid"`
	Actor         string          `json:"actor"`
	CorrelationID string          `json:"correlationid"`
	CausationID   string          `json:"causationid"`
	PartitionKey  string          `json:"partitionkey"`
	SchemaVersion int             `json:"schemaversion"`
	Kind          string          `json:"kind"`
	Severity      string          `json:"severity"`
	Data          json.RawMessage `json:"data"`
}

func readAttributes(event json.RawMessage) (attributes, error) {
	var a attributes
	if err := json.Unmarshal(event, &a); err != nil {
		return a, fmt.Errorf("read an event of the answer: %w", err)
	}
	return a, nil
}

type delivery struct {
	Set      string `json:"set"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Due      string `json:"due"`
	Reason   string `json:"reason"`
}

// page are the flags of commands that list.
type page struct {
	limit  int
	cursor string
}

func (p *page) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.limit, "limit", 50, "print at most this many")
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "go on where an earlier list ended")
}

func (p *page) query(pairs ...string) url.Values {
	q := url.Values{"limit": {strconv.Itoa(p.limit)}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if p.cursor != "" {
		q.Set("cursor", p.cursor)
	}
	return q
}

// more says how to get the following page.
func (a App) more(next string) {
	if next != "" {
		fmt.Fprintln(a.Stderr, "there is more: --cursor "+plain(next))
	}
}

func (a App) events() *cobra.Command {
	var flags clientFlags
	cmd := family("events", "Look into the event log", a.eventsList(&flags), a.eventsShow(&flags))
	flags.register(cmd)
	return cmd
}

func (a App) eventsList(flags *clientFlags) *cobra.Command {
	var p page
	var typ, subject, correlation, from, to string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			for flag, value := range map[string]string{"--from": from, "--to": to} {
				if _, err := time.Parse(time.RFC3339, value); value != "" && err != nil {
					return usage("%s: %q is not a time such as 2026-01-31T08:00:00Z", flag, value)
				}
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var answer struct {
				Events []json.RawMessage `json:"events"`
				Next   string            `json:"next"`
			}
			text, err := c.get(cmd.Context(), &answer,
				p.query("type", typ, "subject", subject, "correlation", correlation, "from", from, "to", to), "events")
			if err != nil {
				return err
			}
			switch flags.output {
			case outputJSON:
				return writeJSON(a.Stdout, outputJSON, text)
			case outputJSONL:
				a.more(answer.Next)
				return writeLines(a.Stdout, answer.Events)
			}
			t := table{head: []string{"POSITION", "RECORDED", "TYPE", "SUBJECT", "ID"}}
			for _, item := range answer.Events {
				var e loggedEvent
				if err := json.Unmarshal(item, &e); err != nil {
					return fmt.Errorf("read an event of the answer: %w", err)
				}
				at, err := readAttributes(e.Event)
				if err != nil {
					return err
				}
				t.add(strconv.FormatInt(e.Position, 10), moment(e.Recorded), at.Type, dash(at.Subject), at.ID)
			}
			a.more(answer.Next)
			return t.write(a.Stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&typ, "type", "", "only this type; build.* stands for all that begin with build.")
	f.StringVar(&subject, "subject", "", "only events about this")
	f.StringVar(&correlation, "correlation", "", "only events with this correlation `id`")
	f.StringVar(&from, "from", "", "only events recorded at this `time` (RFC 3339) or later")
	f.StringVar(&to, "to", "", "only events recorded before this `time` (RFC 3339)")
	p.register(cmd)
	return cmd
}

func (a App) eventsShow(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show an event, and what each handler set did with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.checkOutput(); err != nil {
				return err
			}
			c, err := flags.client(a)
			if err != nil {
				return err
			}
			var event loggedEvent
			if _, err := c.get(cmd.Context(), &event, nil, "events", args[0]); err != nil {
				return err
			}
			var done struct {
				Deliveries json.RawMessage `json:"deliveries"`
			}
			if _, err := c.get(cmd.Context(), &done, nil, "events", args[0], "deliveries"); err != nil {
				return err
			}
			if flags.output != outputTable {
				text, err := json.Marshal(struct {
					loggedEvent
					Deliveries json.RawMessage `json:"deliveries"`
				}{event, done.Deliveries})
				if err != nil {
					return err
				}
				return writeJSON(a.Stdout, flags.output, text)
			}
			return a.showEvent(event, done.Deliveries)
		},
	}
}

func (a App) showEvent(event loggedEvent, done json.RawMessage) error {
	t := table{head: []string{"position", strconv.FormatInt(event.Position, 10)}}
	t.add("recorded", moment(event.Recorded))
	if err := addAttributes(&t, event.Event); err != nil {
		return err
	}
	if err := t.write(a.Stdout); err != nil {
		return err
	}
	if err := a.showData(event.Event); err != nil {
		return err
	}
	var deliveries []delivery
	if err := json.Unmarshal(done, &deliveries); err != nil {
		return fmt.Errorf("read the deliveries of the answer: %w", err)
	}
	t = table{head: []string{"HANDLER SET", "STATE", "ATTEMPTS", "DUE", "REASON"}}
	for _, d := range deliveries {
		t.add(d.Set, d.State, strconv.Itoa(d.Attempts), dash(d.Due), dash(short(d.Reason, 120)))
	}
	fmt.Fprintln(a.Stdout)
	return t.write(a.Stdout)
}

// addAttributes adds a row for each attribute that an event has.
func addAttributes(t *table, event json.RawMessage) error {
	e, err := readAttributes(event)
	if err != nil {
		return err
	}
	version := ""
	if e.SchemaVersion != 0 {
		version = strconv.Itoa(e.SchemaVersion)
	}
	for _, row := range [][2]string{
		{"id", e.ID},
		{"type", e.Type},
		{"schema version", version},
		{"kind", e.Kind},
		{"severity", e.Severity},
		{"source", e.Source},
		{"subject", e.Subject},
		{"partition key", e.PartitionKey},
		{"tenant", e.Tenant},
		{"actor", e.Actor},
		{"time", moment(e.Time)},
		{"correlation id", e.CorrelationID},
		{"causation id", e.CausationID},
	} {
		if row[1] != "" {
			t.add(row[0], row[1])
		}
	}
	return nil
}

// showData prints an event's data, indented.
func (a App) showData(event json.RawMessage) error {
	e, err := readAttributes(event)
	if err != nil || len(e.Data) == 0 {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, e.Data, "", "  "); err != nil {
		return fmt.Errorf("print the event's data: %w", err)
	}
	fmt.Fprintln(a.Stdout)
	for line := range bytes.Lines(out.Bytes()) {
		fmt.Fprintln(a.Stdout, plain(string(bytes.TrimRight(line, "\n"))))
	}
	return nil
}
