package leat_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat/app/bus/bustest"
)

// The page that says on which bus and store what holds. "make conformance" writes it.
const busesPage = "docs/buses.md"

var conformance = flag.String("conformance", "", "write "+busesPage+" anew from this output of go test -json")

// combination is a bus over a store: a column of the page.
type combination struct {
	store, bus   string
	folder       string // of the tests
	test, pubsub string // their names
}

func combinations() []combination {
	return []combination{
		{"SQLite", "sql", "adapters/sqlbus", "TestBus", "TestPubSub"},
		{"SQLite", "gochannel", "adapters/gochannelbus", "TestBus", "TestPubSub"},
		{"SQLite", "nats, embedded", "adapters/natsbus", "TestBusEmbedded", "TestPubSubEmbedded"},
		{"SQLite", "nats, external", "adapters/natsbus", "TestBusExternal", "TestPubSubExternal"},
		{"PostgreSQL", "sql", "adapters/postgres", "TestBusSQL", "TestPubSubSQL"},
		{"PostgreSQL", "gochannel", "adapters/postgres", "TestBusGoChannel", "TestPubSubGoChannel"},
		{"PostgreSQL", "nats, embedded", "adapters/postgres", "TestBusNATSEmbedded", "TestPubSubNATSEmbedded"},
		{"PostgreSQL", "nats, external", "adapters/postgres", "TestBusNATSExternal", "TestPubSubNATSExternal"},
	}
}

// The page must speak of what is tested now: every property, every test of Watermill's, every
// combination, in their order.
func TestBusesPage(t *testing.T) {
	t.Parallel()
	if *conformance != "" {
		outcomes, err := readOutcomes(*conformance)
		if err != nil {
			t.Fatal(err)
		}
		page, missing := renderBuses(outcomes.sign)
		for _, m := range missing {
			t.Errorf("%s was not run", m)
		}
		if err := os.WriteFile(busesPage, []byte(page), 0o600); err != nil || t.Failed() {
			t.Fatalf("write %s: %v", busesPage, err)
		}
		if n := strings.Count(page, "| "+fails+" ") + strings.Count(page, "| "+skipped+" "); n > 0 {
			t.Errorf("%d of the tests failed or were skipped; %s says which", n, busesPage)
		}
	}
	page, err := os.ReadFile(busesPage)
	if err != nil {
		t.Fatal(err)
	}
	got, want := withoutSigns(string(page)), withoutSigns(first(renderBuses(func(combination, string) (string, bool) { return holds, true })))
	for i := range max(len(got), len(want)) {
		g, w := at(got, i), at(want, i)
		if g != w {
			t.Fatalf("%s is stale: run make conformance\nline %d: got  %q\nwant %q", busesPage, i+1, g, w)
		}
	}
}

// Every call of the suites is a column, so that no bus is tested and not told of.
func TestBusesPageTellsOfEverySuite(t *testing.T) {
	t.Parallel()
	var listed, found []string
	for _, c := range combinations() {
		listed = append(listed, c.folder+" Run "+c.test, c.folder+" RunPubSub "+c.pubsub)
	}
	files, err := filepath.Glob("adapters/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "bustest" && strings.HasPrefix(s.Sel.Name, "Run") {
						found = append(found, path.Dir(filepath.ToSlash(name))+" "+s.Sel.Name+" "+f.Name.Name)
					}
				}
				return true
			})
		}
	}
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("suites that are run:\n%s\nwant those of the page:\n%s", strings.Join(found, "\n"), strings.Join(listed, "\n"))
	}
}

// A newer Watermill may have more tests: each is run, or left out with a reason.
func TestWatermillsTestsAreAllJudged(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/ThreeDotsLabs/watermill/pubsub/tests").Output()
	if err != nil {
		t.Fatalf("find Watermill's tests: %v", err)
	}
	var listed, found []string
	for _, test := range bustest.PubSubTests() {
		listed = append(listed, test.Name)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Bench")) && f.Name.Name != "TestPubSub" {
				found = append(found, f.Name.Name) // TestPubSub only calls the others
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("got %v, want what Watermill has: %v", listed, found)
	}
}

// The signs of the page.
const (
	holds   = "✓"
	fails   = "✗"
	skipped = "skipped"
)

// outcomes are of tests, by package and name.
type outcomes map[string]string

func readOutcomes(name string) (outcomes, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	signs := map[string]string{"pass": holds, "fail": fails, "skip": skipped}
	all := outcomes{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // what a build says
		}
		if sign := signs[e.Action]; sign != "" && e.Test != "" {
			all[strings.TrimPrefix(e.Package, module+"/")+" "+e.Test] = sign
		}
	}
	return all, lines.Err()
}

// sign is the outcome of a subtest.
func (o outcomes) sign(c combination, test string) (string, bool) {
	sign, ok := o[c.folder+" "+strings.ReplaceAll(test, " ", "_")]
	return sign, ok
}

// renderBuses returns the page, and the tests that have no outcome.
func renderBuses(sign func(c combination, test string) (string, bool)) (page string, missing []string) {
	var b strings.Builder
	table := func(head string, rows []string, test func(c combination, row string) string) {
		columns := combinations()
		fmt.Fprintf(&b, "| %s |", head)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s<br>%s |", c.store, c.bus)
		}
		b.WriteString("\n|---|" + strings.Repeat(":-:|", len(columns)) + "\n")
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s |", row)
			for _, c := range columns {
				s, ok := sign(c, test(c, row))
				if !ok {
					missing = append(missing, c.folder+" "+test(c, row))
				}
				fmt.Fprintf(&b, " %s |", s)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString(`# What holds on which bus and store

` + "`make conformance`" + ` runs the suites and writes this page; a test fails when it does not speak of what is
tested now. ` + holds + ` passed, ` + fails + ` failed.

## The promises

Each line is a test of ` + "`app/bus/bustest`" + `: events go the whole way, from the log over the sequencer and the bus through
lanes and the router's chain to a handler. The bus is changed between starts on the same data in
“the bus can be swapped”.

`)
	table("property", bustest.Properties(), func(c combination, row string) string { return c.test + "/" + row })
	b.WriteString(`
## Watermill's own tests

Watermill tests publishers and subscribers with its package ` + "`pubsub/tests`" + `. Its messages have free topics and any payload,
the log takes defined events only. So a message is sent as the data of an event, with the topic as its
subject and topic and payload as its partition key; a subscriber is a handler set that hands out the messages of its
topic, a consumer group is the set's name, and a nack is a failed attempt, which is retried. Where several processes can
share store and bus, each publisher and subscriber is one. The tests may expect consumer groups,
order and persistence of every bus, and not that a delivery never repeats: exactly once is
what the effects of ` + "`OnTx`" + ` are. They run with the smaller numbers of messages that Watermill provides for;
with ` + "`" + bustest.FullVariable + "=1`" + ` they take the larger ones, which takes many minutes.

`)
	var run, left []string
	for _, test := range bustest.PubSubTests() {
		if test.Left == "" {
			run = append(run, test.Name)
		} else {
			left = append(left, fmt.Sprintf("- `%s`: %s.", test.Name, test.Left))
		}
	}
	table("test", run, func(c combination, row string) string { return c.pubsub + "/" + row })
	b.WriteString("\nLeft out:\n\n" + strings.Join(left, "\n") + "\n")
	return b.String(), missing
}

// withoutSigns returns the lines of a page as they are whatever passed or failed.
func withoutSigns(page string) []string {
	for _, sign := range []string{fails, skipped} {
		page = strings.ReplaceAll(page, "| "+sign+" ", "| "+holds+" ")
	}
	return strings.Split(page, "\n")
}

func first(page string, _ []string) string { return page }

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}
