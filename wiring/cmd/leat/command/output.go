package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

const (
	outputTable = "table"
	outputJSON  = "json"
	outputJSONL = "jsonl"
)

// checkOutput refuses ways to print that a command does not know.
func (f *clientFlags) checkOutput(allowed ...string) error {
	if len(allowed) == 0 {
		allowed = []string{outputTable, outputJSON, outputJSONL}
	}
	if slices.Contains(allowed, f.output) {
		return nil
	}
	return usage("--output: %q is not one of %s", f.output, strings.Join(allowed, ", "))
}

// table is what people read: a head and rows.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write puts the table out with its columns aligned.
func (t *table) write(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(tab, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
	}
	return tab.Flush()
}

// writeJSON puts a JSON text out, indented for json and on one line for jsonl.
func writeJSON(w io.Writer, output string, text []byte) error {
	var out bytes.Buffer
	var err error
	if output == outputJSON {
		err = json.Indent(&out, bytes.TrimSpace(text), "", "  ")
	} else {
		err = json.Compact(&out, text)
	}
	if err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}

// writeLines puts each item of a list on a line of its own.
func writeLines(w io.Writer, items []json.RawMessage) error {
	for _, item := range items {
		if err := writeJSON(w, outputJSONL, item); err != nil {
			return err
		}
	}
	return nil
}

// plain makes a text safe for a terminal and a table: control characters and what changes the
// direction of writing become a space.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// short cuts a text after a number of characters.
func short(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}

// moment writes a time with milliseconds, in UTC.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// dash stands for an empty cell.
func dash(s string) string { return first(s, "-") }
