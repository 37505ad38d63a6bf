package app_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("no luck")

// diary notes what happens.
type diary struct {
	mu    sync.Mutex
	lines []string
	news  chan struct{}
}

func newDiary() *diary { return &diary{news: make(chan struct{}, 100)} }

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	d.news <- struct{}{}
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// part is one that is ready when it says so and ends with its context.
func (d *diary) part(name string) app.Part {
	ready := make(chan struct{})
	return app.Part{Name: name, Ready: ready, Run: func(ctx context.Context) error {
		d.note(name + " begins")
		close(ready)
		<-ctx.Done()
		d.note(name + " ends")
		return ctx.Err()
	}}
}

func nothing(context.Context) error { return nil }

func build(prepare func(context.Context) error, parts ...app.Part) *app.App {
	return app.New(prepare, parts, clockwork.NewFakeClock(), slog.New(slog.DiscardHandler))
}

func run(ctx context.Context, a *app.App) <-chan error {
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return done
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("waited too long")
		panic("not reached")
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	d := newDiary()
	a := build(func(context.Context) error { d.note("prepare"); return nil }, d.part("one"), d.part("two"), d.part("three"))
	require.EqualError(t, a.CheckReady(context.Background()), "starting")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := run(ctx, a)
	receive(t, a.Ready())
	require.NoError(t, a.CheckReady(ctx))
	require.Equal(t, []string{"prepare", "one begins", "two begins", "three begins"}, d.all())
	cancel()
	require.NoError(t, receive(t, done))
	require.Equal(t, []string{"three ends", "two ends", "one ends"}, d.all()[4:])
	require.EqualError(t, a.CheckReady(context.Background()), "stopping")
}

func TestWaitsForReadiness(t *testing.T) {
	t.Parallel()
	d := newDiary()
	slow := d.part("slow")
	ready := make(chan struct{})
	slow.Ready = ready
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := build(nothing, slow, d.part("next"))
	done := run(ctx, a)
	receive(t, d.news)
	require.Error(t, a.CheckReady(ctx))
	require.Equal(t, []string{"slow begins"}, d.all())
	close(ready)
	receive(t, a.Ready())
	require.Equal(t, []string{"slow begins", "next begins"}, d.all())
	cancel()
	require.NoError(t, receive(t, done))
}

func TestPrepareFails(t *testing.T) {
	t.Parallel()
	d := newDiary()
	a := build(func(context.Context) error { return errTest }, d.part("one"))
	require.ErrorIs(t, a.Run(context.Background()), errTest)
	require.Empty(t, d.all())
	require.Error(t, a.CheckReady(context.Background()))
}

func TestStoppedWhilePreparing(t *testing.T) {
	t.Parallel()
	d := newDiary()
	ctx, cancel := context.WithCancel(context.Background())
	a := build(func(ctx context.Context) error {
		cancel()
		return errors.Join(errors.New("migrate"), ctx.Err())
	}, d.part("one"))
	require.NoError(t, a.Run(ctx))
	require.Empty(t, d.all())
}

// What is told to stop while it starts starts nothing more.
func TestStoppedWhileStarting(t *testing.T) {
	t.Parallel()
	d := newDiary()
	slow := d.part("slow")
	slow.Ready = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := build(nothing, d.part("one"), slow, d.part("never"))
	done := run(ctx, a)
	receive(t, d.news)
	receive(t, d.news)
	cancel()
	require.NoError(t, receive(t, done))
	require.Equal(t, []string{"one begins", "slow begins", "slow ends", "one ends"}, d.all())
	select {
	case <-a.Ready():
		t.Fatal("it was never ready")
	default:
	}
}

func TestPartFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"with an error": {errTest, "bad: no luck"},
		"by itself":     {nil, "bad: ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDiary()
			fail := make(chan struct{})
			bad := app.Part{Name: "bad", Run: func(context.Context) error { <-fail; return test.err }}
			a := build(nothing, d.part("one"), bad, d.part("two"))
			done := run(context.Background(), a)
			receive(t, a.Ready())
			close(fail)
			require.EqualError(t, receive(t, done), test.want)
			require.Equal(t, []string{"one begins", "two begins", "two ends", "one ends"}, d.all())
			require.Error(t, a.CheckReady(context.Background()))
		})
	}
}

func TestPartFailsBeforeItIsReady(t *testing.T) {
	t.Parallel()
	d := newDiary()
	bad := app.Part{Name: "bad", Ready: make(chan struct{}), Run: func(context.Context) error { return errTest }}
	require.EqualError(t, build(nothing, d.part("one"), bad, d.part("never")).Run(context.Background()), "bad: no luck")
	require.Equal(t, []string{"one begins", "one ends"}, d.all())
}

func TestEarlierPartFailsWhileALaterOneStarts(t *testing.T) {
	t.Parallel()
	d := newDiary()
	fail := make(chan struct{})
	bad := app.Part{Name: "bad", Run: func(context.Context) error { <-fail; return errTest }}
	slow := d.part("slow")
	slow.Ready = make(chan struct{})
	done := run(context.Background(), build(nothing, bad, slow))
	receive(t, d.news)
	close(fail)
	require.EqualError(t, receive(t, done), "bad: no luck")
	require.Equal(t, []string{"slow begins", "slow ends"}, d.all())
}

// Stopping is not over before every part has finished what it has in hand, and a fault of one is
// told; the others are stopped all the same.
func TestStopFails(t *testing.T) {
	t.Parallel()
	d := newDiary()
	finish := make(chan struct{})
	bad := app.Part{Name: "bad", Run: func(ctx context.Context) error {
		<-ctx.Done()
		d.note("bad is told")
		<-finish
		return errTest
	}}
	ctx, cancel := context.WithCancel(context.Background())
	a := build(nothing, d.part("one"), bad)
	done := run(ctx, a)
	receive(t, a.Ready())
	cancel()
	receive(t, d.news)
	receive(t, d.news)
	select {
	case <-done:
		t.Fatal("ended before its parts")
	default:
	}
	require.Equal(t, []string{"one begins", "bad is told"}, d.all(), "one goes on until bad has ended")
	close(finish)
	require.EqualError(t, receive(t, done), "bad: no luck")
	require.Equal(t, "one ends", d.all()[2])
}

func TestContextOfParts(t *testing.T) {
	t.Parallel()
	type key struct{}
	got := make(chan any, 1)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
	a := build(nothing, app.Part{Name: "one", Run: func(ctx context.Context) error {
		got <- ctx.Value(key{})
		<-ctx.Done()
		return nil
	}})
	done := run(ctx, a)
	require.Equal(t, "value", receive(t, got))
	receive(t, a.Ready())
	cancel()
	require.NoError(t, receive(t, done))
}
