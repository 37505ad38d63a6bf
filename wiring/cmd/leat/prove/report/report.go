// Package report writes down what proving the promises came to.
package report

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Row is what was counted for one promise in one house.
type Row struct {
	Promise  int
	House    string // bus and store
	Scenario string
	Runs     int // deaths, mostly
	Counted  int // events, effects, mails or frames: what the promise is about
	Lost     int
	Ghost    int
	Twice    int
	Disorder int
	Crossed  int
	Seed     uint64
}

// promises names them as the README does.
var promises = []string{
	1: "accepted means kept",
	2: "every accepted event is settled",
	3: "`OnTx` takes effect exactly once",
	4: "order within a key",
	5: "mails at least once",
	6: "live feed: once, in order, or a gap",
	7: "nothing crosses a tenant",
	8: "one set's fault is its own",
}

// Table returns the rows as a Markdown table, by promise.
func Table(rows []Row) string {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Promise, b.Promise), cmp.Compare(a.Scenario, b.Scenario), cmp.Compare(a.House, b.House))
	})
	lines := [][]string{{"promise", "what broke", "bus+store", "runs", "counted", "lost", "ghost", "twice", "out of order", "crossed", "seed"}}
	for _, r := range rows {
		lines = append(lines, []string{
			fmt.Sprintf("%d %s", r.Promise, promises[r.Promise]), r.Scenario, r.House, fmt.Sprint(r.Runs), fmt.Sprint(r.Counted),
			fmt.Sprint(r.Lost), fmt.Sprint(r.Ghost), fmt.Sprint(r.Twice), fmt.Sprint(r.Disorder), fmt.Sprint(r.Crossed), fmt.Sprint(r.Seed),
		})
	}
	return markdown(lines)
}

// markdown writes a table, the first line of which is its head.
func markdown(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	write := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(&b, "| %-*s ", widths[i], cell)
		}
		b.WriteString("|\n")
	}
	write(lines[0])
	rule := make([]string, len(widths))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	write(rule)
	for _, line := range lines[1:] {
		write(line)
	}
	return b.String()
}

// Insert replaces what stands between the two markers of a name in a file, such as
// <!-- begin figures --> and <!-- end figures -->.
func Insert(file, name, text string) error {
	before, _, after, err := parts(file, name)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+strings.TrimRight(text, "\n")+"\n"+after), 0o644)
}

// Between returns what stands between the two markers.
func Between(file, name string) (string, error) {
	_, text, _, err := parts(file, name)
	return text, err
}

// parts cuts a file in three; the markers belong to the first and the last.
func parts(file, name string) (before, text, after string, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", "", "", err
	}
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(string(raw), begin)
	text, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", "", "", fmt.Errorf("%s: there are no markers %q and %q", file, strings.TrimSpace(begin), end)
	}
	return before + begin, text, end + after, nil
}
