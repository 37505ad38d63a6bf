package leat_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where the planted faults are, and the page that says which test catches which. "make prove-mutants"
// plants them and writes the page.
const (
	mutantsFolder = "testdata/mutants"
	mutantsPage   = "docs/planted-faults.md"
)

// mutant is one planted fault: a small change that breaks a promise as some stock part does. Its file
// begins with lines "key: value" (promise, fault, trap, test), and then has for each file that it
// changes a line "--- path" and lines that begin with "-" (taken away), "+" (put in) or a space (to
// find the place). The lines that are not "+" must be in the file, one after the other, exactly once,
// whatever their indentation. A line "@@" begins another place in the same file.
type mutant struct {
	number  string // from the file's name, as 07
	name    string
	promise string // what is broken
	fault   string // how
	trap    string // the stock part that does so
	pkg     string // the package whose test must fail
	run     string // which test, as for -run
	edits   []edit
}

type edit struct {
	file     string
	old, new []string
}

// Every planted fault must fit the code as it is, or it proves nothing.
func TestMutantsApply(t *testing.T) {
	t.Parallel()
	mutants, err := readMutants()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if _, err := m.apply(); err != nil {
			t.Errorf("planted fault %s-%s: %v", m.number, m.name, err)
		}
	}
}

// The page must speak of the faults that there are.
func TestMutantsPage(t *testing.T) {
	t.Parallel()
	mutants, err := readMutants()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(mutantsPage)
	if err != nil {
		t.Fatal(err)
	}
	if want := renderMutants(mutants, readCaught(string(page))); string(page) != want {
		t.Errorf("%s is stale: run make prove-mutants\nwant:\n%s", mutantsPage, want)
	}
}

// Where a fault does not fit, the error must say so.
func TestMutantsThatDoNotFit(t *testing.T) {
	t.Parallel()
	content := "a\n\tb\nc\nb\n"
	tests := []struct {
		old  []string
		want string
	}{
		{[]string{"c"}, ""},
		{[]string{"b", "c"}, ""},
		{[]string{"b"}, "2 times"},
		{[]string{"c", "a"}, "0 times"},
	}
	for _, tt := range tests {
		_, err := edit{file: "x.go", old: tt.old, new: []string{"new"}}.apply(content)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: got %v, want no error", tt.old, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: got %v, want an error with %q", tt.old, err, tt.want)
		}
	}
	got, err := edit{file: "x.go", old: []string{"b", "c"}, new: []string{"\tb", "d"}}.apply(content)
	if want := "a\n\tb\nd\nb\n"; err != nil || got != want {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}

func readMutants() ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(mutantsFolder, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no planted fault in %s", mutantsFolder)
	}
	var mutants []mutant
	for _, name := range files { // sorted
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.number, m.name, _ = strings.Cut(strings.TrimSuffix(filepath.Base(name), ".txt"), "-")
		mutants = append(mutants, m)
	}
	return mutants, nil
}

func parseMutant(text string) (mutant, error) {
	var m mutant
	var e *edit
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		file, isFile := strings.CutPrefix(line, "--- ")
		switch {
		case isFile:
			m.edits = append(m.edits, edit{file: file})
			e = &m.edits[len(m.edits)-1]
		case e == nil && line == "":
		case e == nil:
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "promise":
				m.promise = value
			case "fault":
				m.fault = value
			case "trap":
				m.trap = value
			case "test":
				m.pkg, m.run, _ = strings.Cut(value, " -run ")
			default:
				return m, fmt.Errorf("%q is nothing that a planted fault has", line)
			}
		case line == "@@":
			m.edits = append(m.edits, edit{file: e.file})
			e = &m.edits[len(m.edits)-1]
		case strings.HasPrefix(line, "-"):
			e.old = append(e.old, line[1:])
		case strings.HasPrefix(line, "+"):
			e.new = append(e.new, line[1:])
		case strings.HasPrefix(line, " "):
			e.old, e.new = append(e.old, line[1:]), append(e.new, line[1:])
		case line != "":
			return m, fmt.Errorf("%q begins with none of -, + and a space", line)
		}
	}
	if m.promise == "" || m.fault == "" || m.trap == "" || m.pkg == "" || m.run == "" || len(m.edits) == 0 {
		return m, errors.New("want promise, fault, trap, test (a package, -run and a pattern) and at least one change")
	}
	return m, nil
}

// apply returns the changed files by their paths. Nothing is written.
func (m mutant) apply() (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		content, again := changed[e.file]
		if !again {
			text, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			content = string(text)
		}
		content, err := e.apply(content)
		if err != nil {
			return nil, err
		}
		changed[e.file] = content
	}
	return changed, nil
}

func (e edit) apply(content string) (string, error) {
	lines := strings.Split(content, "\n")
	at, times := 0, 0
	for i := range lines {
		if i+len(e.old) > len(lines) {
			break
		}
		same := true
		for j, old := range e.old {
			same = same && strings.TrimSpace(lines[i+j]) == strings.TrimSpace(old)
		}
		if same {
			at, times = i, times+1
		}
	}
	if times != 1 || len(e.old) == 0 {
		return "", fmt.Errorf("its lines are %d times in %s, want once:\n%s", times, e.file, strings.Join(e.old, "\n"))
	}
	out := append([]string{}, lines[:at]...)
	out = append(out, e.new...)
	return strings.Join(append(out, lines[at+len(e.old):]...), "\n"), nil
}

// notShown is what the page says of a fault that no test was seen to catch.
const notShown = "not shown yet"

// readCaught returns by number what the page says of faults that were caught.
func readCaught(page string) map[string]string {
	caught := map[string]string{}
	for line := range strings.Lines(page) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 5 {
			if by := strings.TrimSuffix(cells[4], " |"); by != notShown {
				caught[strings.TrimPrefix(cells[0], "| ")] = by
			}
		}
	}
	return caught
}

// renderMutants returns the page; caught is by number.
func renderMutants(mutants []mutant, caught map[string]string) string {
	var b strings.Builder
	b.WriteString(`# Planted faults

A suite that is green proves something only if it would not be green otherwise. ` + "`make prove-mutants`" + ` plants
these faults, one at a time and without touching the work tree, runs for each the test that should catch it, with the fault
and without, and demands that it fails only with it; then it writes here what it saw. Each is what some stock part does, or nearly;
the last but one column says which. The faults are in ` + "`" + mutantsFolder + "`" + `; ` + "`go test -tags mutants -run 'TestMutants/07' -v .`" + ` plants one
of them. A change of the code that a fault no longer fits makes ` + "`make test`" + ` fail until the fault follows.

| no. | promise | fault | as in | caught by |
|---|---|---|---|---|
`)
	for _, m := range mutants {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", m.number, m.promise, m.fault, m.trap, cmp.Or(caught[m.number], notShown))
	}
	return b.String()
}
