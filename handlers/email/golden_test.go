package email_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
	"github.com/leat-dev/leat/handlers/email"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The data of events and its schema are a wire format: others read them, and the log keeps them.
func TestWireFormat(t *testing.T) {
	t.Parallel()
	c, err := event.NewCatalogue(email.Definitions)
	require.NoError(t, err)
	samples := []domain.Event{
		email.Sent{To: "grace@example.com", Template: "welcome", MessageID: "id@example.com", Duration: 42, Attempts: 1},
		email.Failed{To: "grace@example.com", Template: "welcome", Error: "550 no such user", Permanent: true, Attempts: 1},
	}
	require.Len(t, samples, len(c.Types()), "a sample of each")
	for _, e := range samples {
		_, data, err := c.Encode(e)
		require.NoError(t, err)
		schema, _ := c.Schema(e.EventType())
		golden(t, e.EventType()+".json", data)
		golden(t, e.EventType()+".schema.json", schema)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, got, "", "  "))
	indented.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, indented.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), indented.String(), "%s; \"go test -update\" writes it anew", path)
}
