package command_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/domain"
)

func TestServeGetsTheConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "leat.yaml")
	require.NoError(t, os.WriteFile(file, []byte("ops: {listen: '127.0.0.1:1'}\nlog: {level: warn}\nretry: {attempts: 8}\n"), 0o600))
	b := setup(t, "LEAT_OPS__LISTEN=127.0.0.1:2", "LEAT_RETRY__MAX=9s")
	var got *configs.Config
	b.app.Serve = func(_ context.Context, cfg *configs.Config, logger *slog.Logger) error {
		got = cfg
		logger.Info("not this")
		logger.Warn("but this", "k", "v")
		return nil
	}
	code := b.run(t, "serve", "--config", file, "--set", "ops.listen=127.0.0.1:3", "--set", "roles=api,audit")
	require.Equal(t, 0, code, b.stderr)
	require.Equal(t, "127.0.0.1:3", got.Ops.Listen, "flags win over the environment")
	require.Equal(t, "9s", got.Retry.Max.String(), "the environment wins over the default")
	require.Equal(t, 8, got.Retry.Attempts, "the file wins over the default")
	require.Equal(t, []string{"api", "audit"}, got.Roles)
	require.Empty(t, b.stdout.String())
	require.Contains(t, b.stderr.String(), `"msg":"but this","k":"v"`, "JSON where there is no terminal")
	require.NotContains(t, b.stderr.String(), "not this")
}

func TestServeEndsWithTheFittingCode(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	_, inUse := net.Listen("tcp", taken.Addr().String())
	require.Error(t, inUse)

	tests := map[string]struct {
		err  error
		code int
	}{
		"ended":          {nil, 0},
		"failure":        {errors.New("x"), 1},
		"internal":       {domain.Errorf(domain.Internal, "X", "x"), 1},
		"store is down":  {fmt.Errorf("open: %w", domain.Errorf(domain.Unavailable, "STORE_LOCKED", "another process has it")), 6},
		"port is taken":  {fmt.Errorf("listen: %w", inUse), 6},
		"not allowed":    {domain.Errorf(domain.Forbidden, "X", "x"), 3},
		"not asked for":  {context.Canceled, 1},
		"something else": {domain.Errorf(domain.Conflict, "X", "x"), 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.app.Serve = func(context.Context, *configs.Config, *slog.Logger) error { return tt.err }
			require.Equal(t, tt.code, b.run(t, "serve"))
			if tt.err != nil {
				require.Equal(t, "leat: serve: "+tt.err.Error()+"\n", b.stderr.String())
			}
		})
	}
}

func TestServeThatWasAskedToStopEndsWell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.app.Serve = func(ctx context.Context, _ *configs.Config, _ *slog.Logger) error {
		cancel()
		<-ctx.Done()
		return fmt.Errorf("run: %w", ctx.Err())
	}
	require.Equal(t, 0, b.runWith(ctx, "serve"), b.stderr)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	called := false
	b.app.Migrate = func(_ context.Context, cfg *configs.Config, _ *slog.Logger) error {
		called = cfg.Store.TablePrefix == "x_"
		return nil
	}
	require.Equal(t, 0, b.run(t, "migrate", "--set", "store.table_prefix=x_"), b.stderr)
	require.True(t, called)

	b.app.Migrate = nil
	require.Equal(t, 1, b.run(t, "migrate"))
}

func TestFaultyConfigurationIsAUsageError(t *testing.T) {
	t.Parallel()
	b := setup(t, "LEAT_HTTP__LISTNE=x")
	b.app.Serve = func(context.Context, *configs.Config, *slog.Logger) error { return errors.New("must not run") }
	require.Equal(t, 2, b.run(t, "serve", "--set", "bus.kind=pigeon"))
	require.Equal(t, `leat: the configuration has 2 faults:
  http.listne: unknown key in LEAT_HTTP__LISTNE; did you mean LEAT_HTTP__LISTEN?
  bus.kind: "pigeon" is not one of sql, gochannel, nats
`, b.stderr.String())

	b = setup(t)
	require.Equal(t, 2, b.run(t, "serve", "--set", "bus.kind"))
	require.Equal(t, "leat: --set bus.kind: want key=value\n", b.stderr.String())
}

func TestConfigPrintAndValidate(t *testing.T) {
	t.Parallel()
	b := setup(t, "LEAT_SMTP__PASSWORD=hunter2", "LEAT_SMTP__USERNAME=me")
	require.Equal(t, 0, b.run(t, "config", "print", "--set", "drain.timeout=1m"), b.stderr)
	require.Contains(t, b.stdout.String(), "drain:\n    timeout: 1m\n")
	require.Contains(t, b.stdout.String(), "password: '***'")
	require.NotContains(t, b.stdout.String(), "hunter2")

	b = setup(t)
	require.Equal(t, 0, b.run(t, "config", "validate"))
	require.Empty(t, b.stdout.String())

	b = setup(t)
	b.app.Sets = []string{"audit"}
	require.Equal(t, 2, b.run(t, "config", "validate", "--set", "roles=audits"))
	require.Contains(t, b.stderr.String(), `there is no role "audits" (did you mean "audit"?)`)
}
