package httpapi

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// newAPI returns an API on the mux. huma's package variables (NewError above all) are left as they
// are, since programs that use Leat may use huma as well: its errors are turned into ours when they
// are written, and in the document when an operation is added. The pages that huma could serve
// load scripts from elsewhere, so there are none.
func (s *Server) newAPI(mux humago.Mux, version string) huma.API {
	format := strictFormat()
	return humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Leat", Version: version,
				Description: "Publish events, see what became of them, and steer the handler sets that react to them.",
			},
			OnAddOperation: []huma.AddOpFunc{s.completeOperation},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		Transformers:                 []huma.Transformer{s.errorBody},
		RejectUnknownQueryParameters: true,
	})
}

// errorBody puts the error body in place of what huma or a handler reports.
func (s *Server) errorBody(ctx huma.Context, _ string, v any) (any, error) {
	var a answer
	var cause error
	switch e := v.(type) {
	case *failure:
		a, cause = e.answer, e.cause
	case *huma.ErrorModel:
		a, cause = answerForModel(e), modelCause{e}
	default:
		return v, nil
	}
	ctx.SetHeader("Content-Type", "application/json")
	return a.finish(ctx.Context(), s.logger, cause), nil
}

// modelCause says in the log all that a huma error knows.
type modelCause struct{ *huma.ErrorModel }

func (c modelCause) Error() string {
	text := c.Detail
	for _, d := range c.Errors {
		if d != nil {
			text += ": " + d.Message
		}
	}
	return text
}

// completeOperation documents the error body of an operation and bounds its request body.
func (s *Server) completeOperation(doc *huma.OpenAPI, op *huma.Operation) {
	// huma refuses a body that reaches its limit; ours may be reached.
	op.MaxBodyBytes = s.cfg.MaxBody + 1

	ref := doc.Components.Schemas.Schema(reflect.TypeFor[ErrorBody](), true, "ErrorBody")
	content := map[string]*huma.MediaType{"application/json": {Schema: ref}}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	for _, response := range op.Responses {
		if _, of := response.Content["application/problem+json"]; of {
			response.Content = content
		}
	}
	if op.Responses["default"] == nil {
		op.Responses["default"] = &huma.Response{Description: "Error"}
	}
	op.Responses["default"].Content = content
}

// serveOpenAPI adds GET /openapi.json with what has been registered so far.
func (s *Server) serveOpenAPI(mux *http.ServeMux, api huma.API) error {
	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own; completeOperation has replaced every use
	delete(schemas, "ErrorDetail")
	doc, err := api.OpenAPI().MarshalJSON()
	if err != nil {
		return err
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc) // fails only when the caller has gone
	})
	return nil
}
