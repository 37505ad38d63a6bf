// Command bench runs Leat and its peers side by side: the same work, in one process, in turn (A B A
// B …), and prints how they compare with the spread of the rounds. What is compared is a ratio, so
// that it means something on a machine that others use too.
//
// It is a module of its own, so that nobody who uses Leat gets the peers' dependencies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && children[os.Args[1]] != nil {
		if err := children[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	only := flag.String("run", "", "run only these rows, by comma: P2,P6/one-key")
	flag.IntVar(&o.rounds, "rounds", 5, "how often both sides run")
	flag.Float64Var(&o.scale, "scale", 1, "share of the work that a row does in a run, for a machine that is busy")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the work, once: to see that rows run, not a measurement")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU profiles of our side")
	flag.BoolVar(&o.guard, "guard", false, "exit with an error when a row is far from what it has reached, in the best of at most three rounds")
	flag.IntVar(&o.log, "log", 300_000, "events in the large log of the LOG rows; the goal is about 10000000, which take minutes and 10 GB")
	write := flag.String("write", "", "file in which the rows that ran replace those of the table between the markers")
	list := flag.Bool("list", false, "list the rows")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	rows, err := pick(allRows(), *only)
	if err != nil {
		return err
	}
	if *list {
		for _, r := range rows {
			fmt.Printf("%-16s %s | %s | %s\n", r.name(), r.Work, r.Peer, r.goal())
		}
		return nil
	}
	if *write != "" && (o.quick || o.guard) {
		return errors.New("-write needs all of the work: leave out -quick and -guard")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.state, err = newState(); err != nil {
		return err
	}
	defer func() { _ = o.state.close() }()
	m, err := lookAtMachine(ctx)
	if err != nil {
		return err
	}
	fmt.Println(m)
	var results []result
	for _, r := range rows {
		res := measure(ctx, r, o)
		fmt.Println(res)
		results = append(results, res)
		if *write != "" { // at once: what has been measured is kept when something later fails
			if err := writeTable(*write, m, o, res); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failures(results, o.guard)
}

// pick returns the rows whose id or full name is in the list; all when it is empty.
func pick(rows []Row, list string) ([]Row, error) {
	if list == "" {
		return rows, nil
	}
	var picked []Row
	for _, want := range strings.Split(list, ",") {
		found := false
		for _, r := range rows {
			if strings.EqualFold(r.ID, want) || strings.EqualFold(r.name(), want) {
				picked = append(picked, r)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no row %q; -list shows them", want)
		}
	}
	return picked, nil
}

// failures joins what went wrong, and with guard also the rows that do not hold.
func failures(results []result, guard bool) error {
	var errs []error
	for _, r := range results {
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.row.name(), r.err))
		} else if err := r.holds(); guard && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.row.name(), err))
		}
	}
	return errors.Join(errs...)
}
