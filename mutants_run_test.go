//go:build mutants

package leat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutantLimit is how long one test may take. The slowest needs a tenth of it on a machine that does
// nothing else.
const mutantLimit = 2 * time.Minute

// Every planted fault must make the test fail that it names, which passes without it. A fault that
// survives is a hole in the suite. The page tells of those that were planted now what has become of
// them, and keeps what it says of others.
func TestMutants(t *testing.T) {
	mutants, err := readMutants()
	if err != nil {
		t.Fatal(err)
	}
	nursery := nursery{dir: t.TempDir(), built: map[string]func() (string, error){}, passed: map[string]func() (outcome, error){}}
	page, err := os.ReadFile(mutantsPage)
	if err != nil {
		t.Fatal(err)
	}
	caught := readCaught(string(page))
	var table strings.Builder
	for _, m := range mutants {
		t.Run(m.number+"-"+m.name, func(t *testing.T) {
			began := time.Now()
			without, err := nursery.without(t.Context(), m)
			switch {
			case err != nil:
				t.Fatal(err)
			case len(without.failed) > 0:
				t.Fatalf("%s %s fails without the fault: %s\n%s", m.pkg, m.run, strings.Join(without.failed, ", "), without.said)
			case without.passed == 0 && without.skipped > 0:
				t.Skipf("%s %s is skipped here:\n%s", m.pkg, m.run, without.said)
			case without.passed == 0:
				t.Fatalf("%s has no test %s", m.pkg, m.run)
			}
			delete(caught, m.number)
			with, err := nursery.with(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			row := "SURVIVED"
			if len(with.failed) > 0 {
				row = strings.TrimPrefix(m.pkg, "./") + " " + with.failed[0]
				caught[m.number] = "`" + row + "`"
			}
			fmt.Fprintf(&table, "%s | %s | %s | %s | %.1f s\n", m.number, m.promise, m.fault, row, time.Since(began).Seconds())
			if len(with.failed) == 0 {
				t.Errorf("the fault survives %s %s: %s\n%s", m.pkg, m.run, m.fault, with.said)
				return
			}
			t.Logf("caught by %s", row)
		})
	}
	t.Logf("planted faults:\n%s", &table)
	if err := os.WriteFile(mutantsPage, []byte(renderMutants(mutants, caught)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nursery builds and runs tests, each of those without a fault once.
type nursery struct {
	dir    string
	built  map[string]func() (string, error)  // by package
	passed map[string]func() (outcome, error) // by package and pattern
}

// outcome is of one run of tests.
type outcome struct {
	passed, skipped int
	failed          []string // the innermost
	said            string
}

// without runs the mutant's test on the code as it is.
func (n *nursery) without(ctx context.Context, m mutant) (outcome, error) {
	if n.built[m.pkg] == nil {
		n.built[m.pkg] = sync.OnceValues(func() (string, error) { return n.build(ctx, m.pkg, nil) })
	}
	key := m.pkg + " " + m.run
	if n.passed[key] == nil {
		n.passed[key] = sync.OnceValues(func() (outcome, error) {
			program, err := n.built[m.pkg]()
			if err != nil {
				return outcome{}, err
			}
			return n.run(ctx, program, m)
		})
	}
	return n.passed[key]()
}

// with runs it with the fault.
func (n *nursery) with(ctx context.Context, m mutant) (outcome, error) {
	changed, err := m.apply()
	if err != nil {
		return outcome{}, err
	}
	program, err := n.build(ctx, m.pkg, changed)
	if err != nil {
		return outcome{}, err
	}
	return n.run(ctx, program, m)
}

// build builds a package's tests, with some files of the module changed for the compiler's eyes only.
func (n *nursery) build(ctx context.Context, pkg string, changed map[string]string) (string, error) {
	dir, err := os.MkdirTemp(n.dir, "")
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, content := range changed {
		path, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		instead := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(instead, []byte(content), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[path] = instead
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "tests")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", list, "-o", program, pkg)
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, said)
	}
	return program, nil
}

var verdict = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)

func (n *nursery) run(ctx context.Context, program string, m mutant) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, mutantLimit+30*time.Second)
	defer cancel()
	tests := exec.CommandContext(ctx, program, "-test.v", "-test.failfast", "-test.run="+m.run, "-test.timeout="+mutantLimit.String())
	tests.Dir = m.pkg
	said, err := tests.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, fmt.Errorf("run %s %s: %w", m.pkg, m.run, err)
	}
	o := outcome{said: string(said[max(0, len(said)-8<<10):])}
	var failed []string
	for _, v := range verdict.FindAllSubmatch(said, -1) {
		switch string(v[1]) {
		case "PASS":
			o.passed++
		case "SKIP":
			o.skipped++
		case "FAIL":
			failed = append(failed, string(v[2]))
		}
	}
	for i, name := range failed {
		inner := false
		for j, other := range failed {
			inner = inner || i != j && strings.HasPrefix(other, name+"/")
		}
		if !inner {
			o.failed = append(o.failed, name)
		}
	}
	if err != nil && len(o.failed) == 0 {
		return outcome{}, fmt.Errorf("%s %s ended badly, and no test failed: %w\n%s", m.pkg, m.run, err, o.said)
	}
	return o, nil
}
