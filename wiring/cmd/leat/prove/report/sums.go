package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sums returns a Markdown table with one row for each promise: what was counted in all houses.
func Sums(rows []Row) string {
	sums := map[int]*Row{}
	for _, r := range rows {
		s := sums[r.Promise]
		if s == nil {
			s = &Row{Promise: r.Promise}
			sums[r.Promise] = s
		}
		s.Runs, s.Counted = s.Runs+r.Runs, s.Counted+r.Counted
		s.Lost, s.Ghost, s.Twice = s.Lost+r.Lost, s.Ghost+r.Ghost, s.Twice+r.Twice
		s.Disorder, s.Crossed = s.Disorder+r.Disorder, s.Crossed+r.Crossed
	}
	var all []*Row
	for _, s := range sums {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Row) int { return cmp.Compare(a.Promise, b.Promise) })
	lines := [][]string{{"promise", "runs", "counted", "lost", "ghost", "twice", "out of order", "crossed"}}
	for _, s := range all {
		line := []string{fmt.Sprintf("%d %s", s.Promise, promises[s.Promise])}
		for _, n := range []int{s.Runs, s.Counted, s.Lost, s.Ghost, s.Twice, s.Disorder, s.Crossed} {
			line = append(line, strconv.Itoa(n))
		}
		lines = append(lines, line)
	}
	return markdown(lines)
}

// Parse reads the rows of the first table that Table has written in a text.
func Parse(text string) ([]Row, error) {
	var rows []Row
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 11 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		promise, _, _ := strings.Cut(cells[0], " ")
		number, err := strconv.Atoi(promise)
		if err != nil {
			continue // the head
		}
		r := Row{Promise: number, Scenario: cells[1], House: cells[2]}
		for i, to := range []*int{&r.Runs, &r.Counted, &r.Lost, &r.Ghost, &r.Twice, &r.Disorder, &r.Crossed} {
			if *to, err = strconv.Atoi(cells[3+i]); err != nil {
				return nil, fmt.Errorf("the row %q: %w", strings.TrimSpace(line), err)
			}
		}
		if r.Seed, err = strconv.ParseUint(cells[10], 10, 64); err != nil {
			return nil, fmt.Errorf("the row %q: %w", strings.TrimSpace(line), err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}
