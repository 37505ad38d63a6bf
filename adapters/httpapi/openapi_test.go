package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func document(t *testing.T, b *bundle) []byte {
	t.Helper()
	w := b.call(t, "GET", "/openapi.json", "")
	require.Equal(t, 200, w.Code)
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, bytes.TrimSpace(w.Body.Bytes()), "", "  "))
	return append(pretty.Bytes(), '\n')
}

func full() *bundle {
	b := setup()
	b.deps.WebSocket = http.NotFoundHandler()
	return b
}

func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	got := document(t, full())
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "the API has changed; if that is meant, run the test with -update")
}

func TestOpenAPIDocumentIsWhole(t *testing.T) {
	t.Parallel()
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Responses   map[string]struct {
				Description string `json:"description"`
				Content     map[string]struct {
					Schema map[string]any `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	raw := document(t, full())
	require.NoError(t, json.Unmarshal(raw, &doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	require.Equal(t, "Leat", doc.Info.Title)
	require.Equal(t, "test", doc.Info.Version)

	for _, route := range []string{
		"post /v1/events", "get /v1/events", "get /v1/events/{id}", "get /v1/events/{id}/deliveries", "get /v1/ws",
		"get /v1/audit", "get /v1/emails", "get /v1/inbox", "get /v1/inbox/{id}",
		"get /v1/dead-letters", "get /v1/dead-letters/{id}", "post /v1/dead-letters/{id}/retry", "post /v1/dead-letters/{id}/discard",
		"post /v1/dead-letters/retry", "post /v1/dead-letters/discard",
		"get /v1/handlers", "post /v1/handlers/{name}/pause", "post /v1/handlers/{name}/resume", "delete /v1/handlers/{name}",
	} {
		method, path, _ := strings.Cut(route, " ")
		op, ok := doc.Paths[path][method]
		require.True(t, ok, "%s is not documented", route)
		require.NotEmpty(t, op.OperationID, route)
		failed, ok := op.Responses["default"]
		require.True(t, ok, route)
		require.Equal(t, "#/components/schemas/ErrorBody", failed.Content["application/json"].Schema["$ref"], route)
		require.Greater(t, len(op.Responses), 1, "%s: the good answer is not documented", route)
	}
	for _, part := range strings.Split(string(raw), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		require.Contains(t, doc.Components.Schemas, name, "a reference to nothing")
	}
	require.NotContains(t, string(raw), "problem+json")
	require.NotContains(t, doc.Components.Schemas, "ErrorModel")
}

func TestOpenAPIDocumentsOwnRoutes(t *testing.T) {
	t.Parallel()
	b := setup()
	b.deps.Inbox = nil
	raw := string(document(t, b))
	require.NotContains(t, raw, "/v1/inbox")
	require.NotContains(t, raw, "/v1/ws")
}
