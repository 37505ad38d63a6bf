package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/sqlite"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

func openErr(t *testing.T, cfg sqlite.Config) *domain.Error {
	t.Helper()
	db, err := sqlite.Open(context.Background(), cfg, clockwork.NewRealClock(), quiet())
	if err == nil {
		_ = db.Close()
	}
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	return e
}

// raw opens the file beside the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestOpenCreatesFolderAndReopens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "not there", "a b%20?#ü", "leat.db")
	ctx, clock := context.Background(), clockwork.NewFakeClockAt(start)
	db := openAt(t, path, clock)
	_, err := db.Append(ctx, []event.Envelope{envelope("a")})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, db.Close(), "closing again")
	require.FileExists(t, path)
	require.NoFileExists(t, path+"-wal", "closing folds the WAL into the file")

	db = openAt(t, path, clock)
	events, _, err := db.Read(ctx, 0, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 1)
}

func TestOpenHoldsTheLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "leat.db")
	db := openAt(t, path, clockwork.NewRealClock())
	for _, other := range []string{path, filepath.Join(dir, ".", "x", "..", "leat.db")} {
		e := openErr(t, sqlite.Config{Path: other})
		require.Equal(t, domain.Unavailable, e.Kind)
		require.Equal(t, "STORE_LOCKED", e.Code)
		require.Contains(t, e.Error(), path+".lock")
	}
	require.NoError(t, db.Close())
	openAt(t, path, clockwork.NewRealClock())
}

func TestOpenHoldsTheLockUnderAnotherName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "leat.db"), filepath.Join(t.TempDir(), "link")
	openAt(t, path, clockwork.NewRealClock())
	require.NoError(t, os.Symlink(dir, link))
	require.Equal(t, "STORE_LOCKED", openErr(t, sqlite.Config{Path: filepath.Join(link, "leat.db")}).Code)
}

func TestOpenRefusesConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []sqlite.Config{
		{},
		{Path: ":memory:"},
		{Path: "file:x.db?mode=memory"},
		{Path: "x", TablePrefix: "Leat"},
		{Path: "x", TablePrefix: "1_"},
		{Path: "x", TablePrefix: "a-b"},
		{Path: "x", TablePrefix: `a";--`},
		{Path: "x", TablePrefix: "sqlite_"},
		{Path: "x", TablePrefix: strings.Repeat("a", 33)},
	} {
		require.NotEmpty(t, cfg.Validate(), "%+v", cfg)
		e := openErr(t, cfg)
		require.Equal(t, domain.Invalid, e.Kind)
		require.Contains(t, e.Error(), "store.")
	}
	require.Empty(t, sqlite.Config{Path: "x"}.Validate())
	require.Empty(t, sqlite.Config{Path: "x", TablePrefix: "my_app_2_"}.Validate())
}

func TestOpenNamesTheFileThatItCannotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	require.NoError(t, os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 500)), 0o600))
	folder := filepath.Join(dir, "folder.db")
	require.NoError(t, os.Mkdir(folder, 0o700))
	for _, path := range []string{garbage, folder, filepath.Join(garbage, "below a file", "leat.db")} {
		e := openErr(t, sqlite.Config{Path: path})
		require.Equal(t, domain.Unavailable, e.Kind, "%v", e)
		require.Equal(t, "STORE_UNAVAILABLE", e.Code)
		require.Contains(t, e.Error(), path)
	}
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leat.db")
	require.NoError(t, openAt(t, path, clockwork.NewRealClock()).Close())
	other := raw(t, path)
	_, err := other.ExecContext(context.Background(), "INSERT INTO leat_migrations (version_id, is_applied) VALUES (99, 1)")
	require.NoError(t, err)
	before := dump(t, other)

	e := openErr(t, sqlite.Config{Path: path})
	require.Equal(t, domain.Unavailable, e.Kind)
	require.Equal(t, "SCHEMA_TOO_NEW", e.Code)
	require.Contains(t, e.Error(), path)
	require.Contains(t, e.Error(), "99")
	require.Equal(t, before, dump(t, other), "nothing is changed")
}

func dump(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), "SELECT name || coalesce(sql, '') FROM sqlite_master UNION ALL SELECT version_id || is_applied FROM leat_migrations")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}

func TestTablePrefix(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	_, err := raw(t, path).ExecContext(context.Background(), "CREATE TABLE leat_log (theirs INTEGER)") // the application's own
	require.NoError(t, err)
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: path, TablePrefix: "ev_"}, clockwork.NewRealClock(), quiet())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Equal(t, "ev_log", db.Table("log"))
	_, err = db.Append(ctx, []event.Envelope{envelope("a")})
	require.NoError(t, err)
	var ours, others int
	require.NoError(t, db.SQL(ctx).QueryRow(ctx,
		`SELECT count(*) FILTER (WHERE name LIKE 'ev\_%' ESCAPE '\'), count(*) FILTER (WHERE name NOT LIKE 'ev\_%' ESCAPE '\') FROM sqlite_master
		WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'`).Scan(&ours, &others))
	require.Positive(t, ours)
	require.Equal(t, 1, others, "only the application's table has another prefix")
}

func TestMigrateService(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leat.db")
	db := openAt(t, path, clockwork.NewRealClock())
	ctx := context.Background()
	files := fstest.MapFS{"00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE leat_things (n INTEGER);\n-- +goose Down\nDROP TABLE leat_things;\n")}}

	// While others append.
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := db.Append(ctx, []event.Envelope{envelope(fmt.Sprint(i))}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	require.NoError(t, db.Migrate(ctx, files, "shop"))
	require.NoError(t, db.Migrate(ctx, files, "shop"), "again")
	close(stop)
	require.NoError(t, <-stopped)

	require.NoError(t, db.InTx(ctx, func(ctx context.Context) error {
		_, err := db.SQL(ctx).Exec(ctx, "INSERT INTO "+db.Table("things")+" VALUES (1)")
		return err
	}))
	files["00002_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE leat_things ADD COLUMN m INTEGER;\n")}
	require.NoError(t, db.Migrate(ctx, files, "shop"))
	delete(files, "00002_more.sql")
	var e *domain.Error
	require.ErrorAs(t, db.Migrate(ctx, files, "shop"), &e)
	require.Equal(t, "SCHEMA_TOO_NEW", e.Code)

	bad := fstest.MapFS{"00001_bad.sql": {Data: []byte("-- +goose Up\nCREATE TABLE leat_half (n INTEGER);\nNOT SQL;\n")}}
	err := db.Migrate(ctx, bad, "bad")
	require.Error(t, err)
	require.Contains(t, err.Error(), path)
	require.Error(t, db.Migrate(ctx, files, "Not A Name"))
	_, err = db.Append(ctx, []event.Envelope{envelope("after")})
	require.NoError(t, err, "a failed migration hurts nobody")
}

func TestLeasesOfADeadProcessAreExpired(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leat.db")
	ctx, clock := context.Background(), clockwork.NewFakeClockAt(start)
	db := openAt(t, path, clock)
	require.NoError(t, db.Register(ctx, settle.Registration{Set: "s"}))
	held, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, db.NoteInHand(ctx, held, 7, 0))
	released, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lane: 1, Lanes: 2, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, db.Release(ctx, released))
	require.NoError(t, db.Close())

	db = openAt(t, path, clock)
	l, ok, err := db.Acquire(ctx, settle.Claim{Set: "s", Lanes: 2, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, settle.Lease{Set: "s", Owner: "a", Fence: held.Fence + 1, TakenOver: true, InHand: 7, Attempts: 1}, l)
	l, ok, err = db.Acquire(ctx, settle.Claim{Set: "s", Lane: 1, Lanes: 2, Owner: "a", TTL: time.Hour})
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, l.TakenOver)
	require.ErrorIs(t, db.NoteInHand(ctx, held, 8, 0), settle.ErrFenced)
}

// TestKill kills a process that appends, and looks for every event whose acceptance it reported.
func TestKill(t *testing.T) {
	t.Parallel()
	if path := os.Getenv("LEAT_SQLITE_TEST_KILL"); path != "" {
		appendForever(path)
	}
	path := filepath.Join(t.TempDir(), "leat.db")
	accepted := map[string]bool{}
	for round := range 3 {
		cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "LEAT_SQLITE_TEST_KILL="+path, fmt.Sprint("LEAT_SQLITE_TEST_ROUND=", round))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if id, ok := strings.CutPrefix(lines.Text(), "accepted "); ok {
				accepted[id] = true
			}
			if n == 300 {
				require.NoError(t, cmd.Process.Kill()) // what is in the pipe is read still
			}
		}
		require.Error(t, cmd.Wait())
	}
	require.Greater(t, len(accepted), 900)
	db := openAt(t, path, clockwork.NewRealClock())
	events, _, err := db.Read(context.Background(), 0, 0, 1_000_000)
	require.NoError(t, err)
	last := int64(0)
	for _, e := range events {
		require.Greater(t, e.Position, last)
		last = e.Position
		delete(accepted, e.ID)
	}
	require.Empty(t, accepted, "accepted, and not kept")
}

// appendForever is the process to be killed.
func appendForever(path string) {
	db, err := sqlite.Open(context.Background(), sqlite.Config{Path: path}, clockwork.NewRealClock(), quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	done := make(chan struct{})
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv("LEAT_SQLITE_TEST_ROUND"), g, i)
				if _, err := db.Append(context.Background(), []event.Envelope{envelope(id)}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println("accepted " + id)
			}
		}()
	}
	<-done
}
