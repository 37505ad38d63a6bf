//go:build prove

package prove_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/report"
)

// What can be set from outside.
const (
	seedVariable = "LEAT_PROVE_SEED" // repeats a run, as far as processes repeat themselves
	longVariable = "LEAT_PROVE_LONG" // not empty: the long run
	pageVariable = "LEAT_PROVE_PAGE" // the page that gets the figures when every promise held
	sumsVariable = "LEAT_PROVE_SUMS" // the page that gets their sums, when there is such a page
	keepVariable = "LEAT_PROVE_KEEP" // the folder where evidence of breaches is kept
	// Regular expressions: processes die at these points only, and these faults happen only.
	pointsVariable = "LEAT_PROVE_POINTS"
	faultsVariable = "LEAT_PROVE_FAULTS"
	// How many processes die at points in the long run, at least.
	deathsVariable = "LEAT_PROVE_DEATHS"
	// How many events the poison flood of the long run has in each house.
	floodVariable = "LEAT_PROVE_FLOOD"
)

// run is what the tests of one run share.
var run struct {
	binary  string
	seed    uint64
	long    bool
	points  *regexp.Regexp
	faults  *regexp.Regexp
	deaths  int
	flood   int
	results results
}

// How many processes die at points in the long run, and how many events its flood has, when nobody wants
// another number.
const (
	longDeaths = 1000
	longFlood  = 100_000
)

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

// commit names what is being tested.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leatprove")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	run.binary = filepath.Join(dir, "leat")
	build := exec.Command("go", "build", "-tags", "faults", "-o", run.binary, "..")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program with the tag faults:", err)
		return 1
	}
	run.long = os.Getenv(longVariable) != ""
	run.seed = uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		if run.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", seedVariable, err)
			return 1
		}
	}
	for name, to := range map[string]**regexp.Regexp{pointsVariable: &run.points, faultsVariable: &run.faults} {
		if *to, err = regexp.Compile(os.Getenv(name)); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			return 1
		}
	}
	run.deaths, run.flood = longDeaths, longFlood
	for name, to := range map[string]*int{deathsVariable: &run.deaths, floodVariable: &run.flood} {
		if text := os.Getenv(name); text != "" {
			if *to, err = strconv.Atoi(text); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				return 1
			}
		}
	}
	run.results.commit = commit()
	fmt.Printf("seed %d (%s=%d repeats it)\n", run.seed, seedVariable, run.seed)
	start := time.Now()
	code := m.Run()
	table, summary := run.results.table(), run.results.summary(time.Since(start))
	figures := run.results.figures()
	fmt.Printf("%s%s%s\n", table, figures, summary)
	if page := os.Getenv(pageVariable); page != "" && code == 0 {
		err := report.Insert(page, "figures", summary+"\n\n"+table+"\n"+figures)
		if sums := os.Getenv(sumsVariable); sums != "" && err == nil {
			err = report.Insert(sums, "sums", run.results.sums())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
