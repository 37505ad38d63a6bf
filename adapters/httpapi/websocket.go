package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

const pathWebSocket = "/v1/ws"

// The codes that say that a process lacks the role.
const (
	codeNoFeed = "NO_LIVE_FEED_HERE"
	codeNoAPI  = "NO_API_HERE"
)

// documentWebSocket adds the live feed to the document; who serves it is a dependency.
func documentWebSocket(api huma.API) {
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "live-feed", Method: http.MethodGet, Path: pathWebSocket, Tags: []string{"Live feed"},
		Summary: "Live events over a WebSocket",
		Description: "Subprotocol leat.v1, JSON text frames. The client subscribes to types and subjects and may resume " +
			"after a position; the server sends hello, event, position, gap and error frames.",
		Responses: map[string]*huma.Response{"101": {Description: "Switching Protocols"}},
	})
}
