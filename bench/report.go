package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	beginMark = "<!-- the table of make bench begins -->"
	endMark   = "<!-- the table of make bench ends -->"
)

func (r result) String() string {
	if r.err != nil {
		return fmt.Sprintf("%-16s FAILED: %v", r.row.name(), r.err)
	}
	mark, goal := "reached", "goal "+r.row.goal()
	if r.row.goal() == "" {
		mark, goal = "", "no goal"
	} else if !r.reached() {
		mark = "MISSED"
	}
	text := fmt.Sprintf("%-16s %-7s %s (%s); leat %s", r.row.name(), mark, r.ratio(), goal, side(r.ours))
	if len(r.them) > 0 {
		text += "; peer " + side(r.them) + r.cpuRatio()
	}
	return text
}

// cpuRatio compares what both sides cost this process: less touched by whatever else the machine
// does, but blind to a database server's share and to waiting.
func (r result) cpuRatio() string {
	cpu := func(f Figure) float64 { return f.CPU }
	ours, them := of(r.ours, cpu).median, of(r.them, cpu).median
	if ours == 0 || them == 0 {
		return ""
	}
	return fmt.Sprintf("; by CPU %.2g ×", them/ours)
}

// side is one side's figures for people.
func side(figures []Figure) string {
	rate := of(figures, func(f Figure) float64 { return f.Rate })
	cpu := of(figures, func(f Figure) float64 { return f.CPU })
	if cpu.median == 0 { // nothing that has a rate
		return strings.TrimPrefix(values(figures), ", ")
	}
	return fmt.Sprintf("%s/s, %.0f µs CPU each", thousands(rate.median), cpu.median) + values(figures)
}

func values(figures []Figure) string {
	var text strings.Builder
	if len(figures) == 0 {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(figures[0].Values)) {
		s := of(figures, func(f Figure) float64 { return f.Values[name] })
		what, unit, _ := strings.Cut(name, " ")
		fmt.Fprintf(&text, ", %s %.3g %s", what, s.median, unit)
	}
	return text.String()
}

func thousands(rate float64) string {
	if rate < 999.5 {
		return fmt.Sprintf("%.0f", rate)
	}
	n := fmt.Sprintf("%.0f", rate)
	return n[:len(n)-3] + "," + n[len(n)-3:]
}

// line is the row as it stands in the documentation's table. It carries where it comes from, since
// each row can be measured anew.
func (r result) line(m machine, o options) string {
	mark := "reached"
	if r.row.goal() == "" {
		mark = "no goal"
	} else if !r.reached() {
		mark = "**missed**"
	}
	measured, ours, them := r.ratio(), side(r.ours), "–"
	if len(r.them) > 0 {
		them = side(r.them)
		measured += r.cpuRatio()
	}
	taken := fmt.Sprintf("%s, %s, rounds: %d", m.commit, time.Now().Format(time.DateOnly), len(r.ours))
	if o.scale != 1 {
		taken += fmt.Sprintf(" of %g × the work", o.scale)
	}
	return "| " + strings.Join([]string{r.row.name(), r.row.Work, r.row.Peer, r.row.goal(), measured, mark, ours, them, r.row.Note, taken}, " | ") + " |"
}

const tableHead = "| row | work | peer | goal | measured | | leat | peer | what limits it | taken |\n|---|---|---|---|---|---|---|---|---|---|\n"

// writeTable puts a row that ran into the table between the markers of a file, and leaves the others
// as they are. When it failed it is left as well; a row that is no more goes.
func writeTable(name string, m machine, o options, r result) error {
	if r.err != nil {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	begin, end := bytes.Index(text, []byte(beginMark)), bytes.Index(text, []byte(endMark))
	if begin < 0 || end < begin {
		return fmt.Errorf("%s has no lines %q and %q", name, beginMark, endMark)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(text[begin:end])) {
		if cells := strings.SplitN(line, "|", 3); len(cells) == 3 {
			lines[strings.TrimSpace(cells[1])] = strings.TrimSuffix(line, "\n")
		}
	}
	lines[r.row.name()] = r.line(m, o)
	var table strings.Builder
	fmt.Fprintf(&table, "%s\n\nThe machine: %s. Each row: both sides in turn; the median of the rounds, with the lowest and the highest in brackets.\n\n%s", beginMark, m.hardware(), tableHead)
	for _, r := range allRows() {
		if line, ok := lines[r.name()]; ok {
			table.WriteString(line + "\n")
		}
	}
	table.WriteString("\n")
	return os.WriteFile(name, slices.Concat(text[:begin], []byte(table.String()), text[end:]), 0o644)
}
