//go:build prove

package prove_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/wiring/cmd/leat/leattest"
)

// TestDiskFull takes the room for more data away while clients work, and gives it back. What cannot be
// kept is refused with a reason; nothing that was accepted is lost, and everything goes on by itself
// when there is room.
//
// The room is that of the database, which SQLite bounds wherever the test runs. Where a file system can
// be mounted (root may, mostly) there is one more life, on one that is really full.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	rounds := 2
	if run.long {
		rounds = 8
	}
	for i, h := range []house{{"sql", "sqlite"}, {"gochannel", "sqlite"}, {"nats", "sqlite"}} {
		if !run.long && i > 0 {
			break
		}
		t.Run("bounded/"+h.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(run.seed, uint64(400+i)))
			l := begin(t, h, random.Uint64(), false)
			defer l.end()
			f := &filling{life: l, random: random}
			f.take = func() { f.bound(1 + random.IntN(8)) }
			f.give = func() { f.bound(0) }
			f.all(rounds)
			run.results.add("the database is full", l)
		})
	}
	t.Run("mounted", func(t *testing.T) {
		t.Parallel()
		dir, err := mountSmall(t, smallBytes)
		if err != nil {
			t.Logf("no file system can be mounted here (%v): a full one is shown by the bounded database only", err)
			return
		}
		random := rand.New(rand.NewPCG(run.seed, 410))
		h := house{"sql", "sqlite"}
		l := beginIn(t, h, random.Uint64(), func(string) surroundings {
			store := "sqlite:" + filepath.Join(dir, "leat.db")
			return surroundings{store: store, settings: []string{"bus.kind=" + h.bus, "store.url=" + store}}
		})
		defer l.end()
		f := &filling{life: l, random: random}
		ballast := filepath.Join(dir, "ballast")
		f.take = func() { require.NoError(t, fill(ballast)) }
		f.give = func() { require.NoError(t, os.Remove(ballast)) }
		f.all(min(rounds, 5))
		run.results.add("the file system is full", l)
	})
}

// smallBytes is how much the small file system holds: the data of some rounds.
const smallBytes = 48 << 20

// fill writes a file until there is no room for more.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // the last bytes too
		}
	}
	return f.Close()
}

// filling is a life that has no room for more data now and then.
type filling struct {
	*life
	random     *rand.Rand
	take, give func() // room
}

func (f *filling) all(rounds int) {
	f.t.Logf("%s: seed %d", f.house, f.seed)
	f.rules.Sound = true
	p := f.launch("", 0)
	if !p.Ready() {
		f.t.Fatalf("the process ended before it was ready:\n%s", p.Output())
	}
	f.enter(p)
	for f.faults < rounds && !f.t.Failed() {
		f.one()
		f.soundness(p)
	}
	f.rest()
	f.leave()
	p.Stop()
	f.settleAndCheck()
	f.t.Logf("%s: %d times no room, %d events, %d answers that were in doubt resolved, refused: %v",
		f.house, f.faults, f.verdict.Events, f.verdict.Resolved, f.load.Refused())
}

// one takes the room away until publishing is refused for a while, and gives it back.
func (f *filling) one() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- f.load.Run(ctx, 20_000) }()
	time.Sleep(time.Duration(50+f.random.IntN(200)) * time.Millisecond)
	refused := f.refused()
	f.take()
	f.tell("there is no room")
	require.Eventually(f.t, func() bool { return f.refused() >= refused+10 }, leattest.Patience, time.Millisecond,
		"publishing is refused with the reason that nothing can be stored")
	time.Sleep(time.Duration(f.random.IntN(1000)) * time.Millisecond)
	f.give()
	f.breakage(true)
	f.tell("there is room")
	taken := f.load.Taken()
	require.Eventually(f.t, func() bool { return f.load.Taken() >= taken+20 }, leattest.Patience, time.Millisecond,
		"publishing goes on by itself")
	cancel()
	require.NoError(f.t, <-loaded)
	f.settleAndCheck()
}

// refused is how many calls were told that nothing can be stored.
func (f *filling) refused() int { return f.load.Refused()["STORE_UNAVAILABLE"] }

// bound lets the database have room for so many pages more; 0: as many as it likes. A full one may need to be
// asked again.
func (f *filling) bound(pages int) {
	require.Eventually(f.t, func() bool {
		req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/v1/ledger/room?pages=%d", f.current.API, pages), nil)
		require.NoError(f.t, err)
		req.Header.Set("Leat-Tenant", tenants[0])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, leattest.Patience, 5*time.Millisecond, "the room can be changed")
}
