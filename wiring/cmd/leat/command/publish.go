package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// publication is an event as POST /v1/events takes it.
type publication struct {
	EventType     string          `json:"eventType"`
	Source        string          `json:"source,omitempty"`
	ID            string          `json:"id,omitempty"`
	Timestamp     string          `json:"timestamp,omitempty"`
	Subject       string          `json:"subject,omitempty"`
	PartitionKey  string          `json:"partitionKey,omitempty"`
	SchemaVersion int             `json:"schemaVersion,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
}

// line is a publication as a file holds it: some names may be those of CloudEvents.
type line struct {
	publication
	Type string `json:"type"`
	Time string `json:"time"`
}

// accepted is the answer to a publication.
type accepted struct {
	EventID   string `json:"eventId"`
	Timestamp string `json:"timestamp"`
	Receipt   string `json:"receipt"`
}

// maxLine bounds a line of a file; the API takes less.
const maxLine = 4 << 20

type publisher struct {
	app    App
	flags  clientFlags
	client *client
	about  publication // what the flags say
	table  *table
}

func (a App) publish() *cobra.Command {
	p := publisher{app: a, table: &table{head: []string{"EVENT", "TIME", "RECEIPT"}}}
	var file string
	cmd := &cobra.Command{
		Use:   "publish TYPE JSON | publish -f FILE",
		Short: "Publish one event, or one for each line of a file",
		Long: `Publish one event of a type with its data, or one for each line of a file ("-" is stdin).

A line is an object with eventType (or type) and data, and may have id, subject, source,
partitionKey, schemaVersion, timestamp (or time) and metadata. Flags fill in what a line leaves
out. The first line that is not accepted ends the command. Give the events ids, and the file can be
published again: what is in the log already is not stored twice.`,
		Example: `  leat publish build.started '{"build_id":"b-1"}' --subject b-1
  leat publish -f events.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case file == "" && len(args) != 2:
				return errors.New("want a type and its data as JSON, or -f and a file")
			case file != "" && len(args) > 0:
				return errors.New("-f takes the events from a file; a type and data cannot be given as well")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := p.flags.checkOutput(); err != nil {
				return err
			}
			if p.client, err = p.flags.client(a); err != nil {
				return err
			}
			if file != "" {
				err = p.file(cmd.Context(), file)
			} else {
				err = p.one(cmd.Context(), args[0], args[1])
			}
			if len(p.table.rows) > 0 {
				err = errors.Join(p.table.write(a.Stdout), err)
			}
			return err
		},
	}
	p.flags.register(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "publish the lines of this `file`; - is stdin")
	flags.StringVar(&p.about.Subject, "subject", "", "what the event is about")
	flags.StringVar(&p.about.ID, "id", "", "the event's `id`; the same id again is not stored twice")
	flags.StringVar(&p.about.Source, "source", "leat-cli", "who publishes")
	flags.StringVar(&p.about.PartitionKey, "key", "", "the partition `key`; events of one key are handled in order (default: the subject)")
	return cmd
}

func (p *publisher) one(ctx context.Context, typ, data string) error {
	if !json.Valid([]byte(data)) {
		return usage("publish: the data is not JSON: %s", short(data, 60))
	}
	e := p.about
	e.EventType, e.Data = typ, json.RawMessage(data)
	return p.send(ctx, e)
}

func (p *publisher) file(ctx context.Context, name string) error {
	if p.about.ID != "" {
		return usage("publish: --id names one event; with -f each line has its own")
	}
	input := p.app.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usage("publish: %w", err)
		}
		defer f.Close()
		input = f
	}
	sent := 0
	lines := bufio.NewScanner(input)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for lines.Scan() {
		number++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		e, err := p.read(text)
		if err == nil {
			err = p.send(ctx, e)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w\n%s", number, err, before(sent))
		}
		sent++
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = rejected("is longer than %d MiB", maxLine>>20)
		}
		return fmt.Errorf("line %d: %w\n%s", number+1, err, before(sent))
	}
	if sent == 0 {
		return rejected("publish: there is nothing to publish in %s", name)
	}
	return nil
}

func before(sent int) string {
	switch sent {
	case 0:
		return "nothing was published"
	case 1:
		return "the event before it was accepted"
	default:
		return fmt.Sprintf("the %d events before it were accepted", sent)
	}
}

// read makes a publication of a line.
func (p *publisher) read(text []byte) (publication, error) {
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return publication{}, rejected("is not an event: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return publication{}, rejected("is not an event: something follows the object")
	}
	if l.EventType != "" && l.Type != "" || l.Timestamp != "" && l.Time != "" {
		return publication{}, rejected("is not an event: want either eventType or type, and either timestamp or time")
	}
	e := l.publication
	e.EventType = first(e.EventType, l.Type)
	if e.EventType == "" {
		return publication{}, rejected("is not an event: eventType is missing")
	}
	e.Timestamp = first(e.Timestamp, l.Time)
	e.Source = first(e.Source, p.about.Source)
	e.Subject = first(e.Subject, p.about.Subject)
	e.PartitionKey = first(e.PartitionKey, p.about.PartitionKey)
	return e, nil
}

// send publishes and prints the receipt; rows of a table wait for the end, to be aligned.
func (p *publisher) send(ctx context.Context, e publication) error {
	var a accepted
	text, err := p.client.post(ctx, &a, e, "events")
	if err != nil {
		return err
	}
	if p.flags.output != outputTable {
		return writeJSON(p.app.Stdout, p.flags.output, text)
	}
	p.table.add(a.EventID, a.Timestamp, a.Receipt)
	return nil
}
