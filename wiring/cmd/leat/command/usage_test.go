package command_test

import (
	"encoding/json"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"unknown command":     {"sevre"},
		"unknown flag":        {"serve", "--port", "1"},
		"too many arguments":  {"serve", "now"},
		"no subcommand":       {"events"},
		"unknown subcommand":  {"events", "lsit"},
		"too few arguments":   {"publish", "build.started"},
		"data is not JSON":    {"publish", "build.started", "{"},
		"data and file":       {"publish", "-f", "-", "build.started", "{}"},
		"an id for many":      {"publish", "-f", "-", "--id", "1"},
		"no such file":        {"publish", "-f", "/no/such/file"},
		"unknown output":      {"events", "list", "-o", "xml"},
		"tail as one JSON":    {"tail", "-o", "json"},
		"negative position":   {"tail", "--after", "-1"},
		"server is no URL":    {"handlers", "list", "--server", "localhost:8080"},
		"password in the URL": {"tail", "--server", "http://me:hunter2@localhost"},
		"no token file":       {"handlers", "list", "--token-file", "/no/such/file"},
		"time":                {"events", "list", "--from", "yesterday"},
		"limit":               {"events", "list", "--limit", "many"},
		"no letters":          {"dead-letters", "retry"},
		"letters and filter":  {"dead-letters", "retry", "audit.1", "--set", "audit"},
		"letters and all":     {"dead-letters", "discard", "audit.1", "--all"},
		"filter and all":      {"dead-letters", "discard", "--set", "x", "--all"},
		"nothing to pause":    {"handlers", "pause"},
		"version's arguments": {"version", "1"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.Equal(t, 2, b.run(t, args...), b.stderr)
			require.Empty(t, b.stdout.String())
			require.Regexp(t, `^leat: [^\n]+\n$`, b.stderr.String(), "one readable line")
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"help"}, {"help", "tail"}, {"events", "--help"}} {
		b := setup(t)
		require.Equal(t, 0, b.run(t, args...))
		require.Contains(t, b.stdout.String(), "Usage:")
		require.Empty(t, b.stderr.String())
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, 0, b.run(t, "version"))
	require.Regexp(t, `^leat \S+ \(commit .+\) `+runtime.Version(), b.stdout.String())

	b = setup(t)
	require.Equal(t, 0, b.run(t, "version", "-o", "json"))
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.stdout.String()), &got))
	require.Equal(t, runtime.Version(), got["go"])
}
