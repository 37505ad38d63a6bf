package sqltxtest

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/domain"
)

func migratedOnce(t *testing.T, f *fixture) {
	fsys := files("more", "INSERT INTO leat_things (id) VALUES ('leat_a');")
	atOnce(t, func() error { return f.Migrate(ctxOf(t), fsys, "once") })
	f.holds(t, prefix+"a")
	fsys["00002_more.sql"] = &fstest.MapFile{Data: []byte(
		"-- +goose Up\nINSERT INTO leat_things (id) VALUES ('b');\nINSERT INTO leat_things (id) VALUES ('c');\n" +
			"-- +goose Down\nDELETE FROM leat_things;\n")}
	require.NoError(t, f.Migrate(ctxOf(t), fsys, "once"))
	require.NoError(t, f.Migrate(ctxOf(t), fsys, "once"))
	f.holds(t, "b", "c", prefix+"a")
}

func migratedBeside(t *testing.T, f *fixture) {
	f.migrate(t, "first", "one", "INSERT INTO leat_things (id) VALUES ('first');")
	f.migrate(t, "second_2", "one", "INSERT INTO leat_things (id) VALUES ('second');")
	f.holds(t, "first", "second")
}

func migrationsRefused(t *testing.T, f *fixture) {
	fsys := files("one", "INSERT INTO leat_things (id) VALUES ('a');")
	for _, name := range []string{"", "Not A Name", "1st", "a-b", `a"`, "a_name_of_more_than_32_characters"} {
		require.Error(t, f.Migrate(ctxOf(t), fsys, name), "%q", name)
	}
	f.holds(t)

	require.Error(t, f.Migrate(ctxOf(t), files("half", "INSERT INTO leat_things (id) VALUES ('half');\nNOT SQL;"), "half"))
	f.holds(t)

	newer := files("one", "INSERT INTO leat_things (id) VALUES ('b');")
	newer["00002_two.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nINSERT INTO leat_things (id) VALUES ('c');\n")}
	require.NoError(t, f.Migrate(ctxOf(t), newer, "newer"))
	delete(newer, "00002_two.sql")
	var e *domain.Error
	require.ErrorAs(t, f.Migrate(ctxOf(t), newer, "newer"), &e)
	require.Equal(t, domain.Unavailable, e.Kind)
	require.Equal(t, "SCHEMA_TOO_NEW", e.Code)
	f.in(t, func(ctx context.Context) error { return f.add(ctx, "d") })
	f.holds(t, "b", "c", "d")
}

func prefixed(t *testing.T, f *fixture) {
	require.Equal(t, prefix+"things", f.Table("things"))
	require.Contains(t, []sqltx.Dialect{sqltx.SQLite, sqltx.Postgres}, f.Dialect())
	f.migrate(t, "reserved", "one", "CREATE TABLE leat_one (n BIGINT);\nCREATE INDEX leat_one_n ON leat_one (n);")
	ctx := ctxOf(t)
	var n int64
	require.NoError(t, f.SQL(ctx).QueryRow(ctx, "SELECT count(*) FROM mine_one").Scan(&n))
	require.Error(t, f.SQL(ctx).QueryRow(ctx, "SELECT count(*) FROM leat_one").Scan(&n))
}
