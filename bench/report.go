package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	beginMark = "<!-- the table of make bench-peers begins -->"
	endMark   = "<!-- the table of make bench-peers ends -->"
)

func (r result) String() string {
	if r.err != nil {
		return fmt.Sprintf("%-16s FAILED: %v", r.row.name(), r.err)
	}
	mark := "reached"
	if !r.reached() {
		mark = "MISSED"
	}
	text := fmt.Sprintf("%-16s %-7s %s (goal %s); leat %s", r.row.name(), mark, r.ratio(), r.row.goal(), side(r.ours))
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
	if rate < 1000 {
		return fmt.Sprintf("%.0f", rate)
	}
	n := fmt.Sprintf("%.0f", rate)
	return n[:len(n)-3] + "," + n[len(n)-3:]
}

// markdown is the table as it stands in the documentation.
func markdown(m machine, o options, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nMeasured on %s. Each row: %d rounds of %g times the full work, both sides in turn; the median, with the lowest and the highest "+
		"round in brackets. How to repeat: `make bench-peers PEERS='-rounds %d -scale %g'`.\n\n", beginMark, m, o.rounds, o.scale, o.rounds, o.scale)
	b.WriteString("| row | work | peer | goal | measured | | leat | peer | what limits it |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		mark := "reached"
		if !r.reached() {
			mark = "**missed**"
		}
		measured, ours, them := r.ratio(), side(r.ours), "–"
		if len(r.them) > 0 {
			them = side(r.them)
			measured += r.cpuRatio()
		}
		if r.err != nil {
			measured, ours, them = "failed: "+r.err.Error(), "–", "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.row.name(), r.row.Work, r.row.Peer, r.row.goal(), measured, mark, ours, them, r.row.Note)
	}
	fmt.Fprintf(&b, "\n%s\n", endMark)
	return b.String()
}

// replaceTable puts the table between the markers of a file.
func replaceTable(name, table string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	begin, end := bytes.Index(text, []byte(beginMark)), bytes.Index(text, []byte(endMark))
	if begin < 0 || end < begin {
		return fmt.Errorf("%s has no lines %q and %q", name, beginMark, endMark)
	}
	after := bytes.TrimPrefix(text[end+len(endMark):], []byte("\n"))
	return os.WriteFile(name, slices.Concat(text[:begin], []byte(table), after), 0o644)
}
