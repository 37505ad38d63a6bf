package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Status    string        `json:"status" enum:"error" doc:"Always \"error\"."`
	ErrorCode string        `json:"errorCode" example:"SCHEMA_VALIDATION_ERROR" doc:"A stable name of what is wrong, for programs."`
	Message   string        `json:"message" doc:"What is wrong, for people."`
	Details   *ErrorDetails `json:"details,omitempty" doc:"The part of the request that is wrong."`
	TraceID   string        `json:"traceId" doc:"Names the request in the server's log and traces."`
}

// ErrorDetails names the part of the request that is wrong.
type ErrorDetails struct {
	Field  string        `json:"field,omitempty" example:"data.email" doc:"The first part at fault, as a path."`
	Error  string        `json:"error,omitempty" doc:"What is wrong with it."`
	Errors []FieldFailed `json:"errors,omitempty" nullable:"false" doc:"All parts at fault, when there are several."`
}

// FieldFailed is one of several parts at fault.
type FieldFailed struct {
	Field string `json:"field" example:"data.email"`
	Error string `json:"error"`
}

const (
	codeInternal    = "INTERNAL_ERROR"
	messageInternal = "something went wrong inside the server; its log says more under the traceId"
)

// answer is an error as the caller gets to see it.
type answer struct {
	status int
	body   ErrorBody
	hidden bool // the cause is for the log only
}

// answerFor turns an error of a port into an answer. Only a domain.Error is meant for callers; of
// errors that are joined, all must be.
func answerFor(err error) answer {
	var found []*domain.Error
	if !domainErrors(err, &found) || len(found) == 0 || found[0].Kind == domain.Internal {
		return answer{
			status: http.StatusInternalServerError, hidden: true,
			body: ErrorBody{ErrorCode: codeInternal, Message: messageInternal},
		}
	}
	first := found[0]
	a := answer{status: statusFor(first), body: ErrorBody{ErrorCode: first.Code, Message: first.Message}}
	if a.body.ErrorCode == "" {
		a.body.ErrorCode = codeFor(a.status)
	}
	var faults []FieldFailed
	for _, e := range found {
		faults = append(faults, faultsOf(e)...)
	}
	if len(faults) > 0 {
		a.body.Details = &ErrorDetails{Field: faults[0].Field, Error: faults[0].Error}
	}
	if len(faults) > 1 {
		a.body.Details.Errors = faults
	}
	return a
}

// domainErrors collects the domain errors of a tree of wrapped and joined errors, in order. It
// reports false when a branch holds none.
func domainErrors(err error, into *[]*domain.Error) bool {
	for err != nil {
		if e, ok := err.(*domain.Error); ok { //nolint:errorlint // the tree is walked here, branch by branch
			*into = append(*into, e)
			return e.Kind != domain.Internal
		}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all := true
			for _, branch := range joined.Unwrap() {
				all = domainErrors(branch, into) && all
			}
			return all
		}
		err = errors.Unwrap(err)
	}
	return false
}

// faultsOf lists the parts of the request that an error names.
func faultsOf(e *domain.Error) []FieldFailed {
	var fields *event.FieldErrors
	if errors.As(e.Err, &fields) && len(fields.Fields) > 0 {
		faults := make([]FieldFailed, len(fields.Fields))
		for i, f := range fields.Fields {
			faults[i] = FieldFailed{Field: f.Field, Error: f.Reason}
		}
		return faults
	}
	if e.Field == "" {
		return nil
	}
	return []FieldFailed{{Field: e.Field, Error: e.Message}}
}

const codeInvalidJSON = "INVALID_JSON"

func statusFor(e *domain.Error) int {
	switch e.Kind {
	case domain.Invalid:
		if e.Code == codeInvalidJSON {
			return http.StatusBadRequest
		}
		return http.StatusUnprocessableEntity
	case domain.NotFound:
		return http.StatusNotFound
	case domain.Conflict:
		return http.StatusConflict
	case domain.Forbidden:
		return http.StatusForbidden
	case domain.TooLarge:
		return http.StatusRequestEntityTooLarge
	case domain.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// codeFor names the errors that arise from HTTP itself.
func codeFor(status int) string {
	switch status {
	case http.StatusBadRequest:
		return codeInvalidJSON
	case http.StatusRequestEntityTooLarge:
		return "BODY_TOO_LARGE"
	case http.StatusUnprocessableEntity:
		return "INVALID_REQUEST"
	case http.StatusInternalServerError:
		return codeInternal
	default:
		return strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
	}
}

// answerForModel turns what huma says about a request (a parameter that is no number, a body that
// does not fit) into an answer.
func answerForModel(m *huma.ErrorModel) answer {
	a := answer{status: m.Status, body: ErrorBody{ErrorCode: codeFor(m.Status), Message: m.Detail}}
	if m.Status >= http.StatusInternalServerError {
		a.hidden, a.body.Message = true, messageInternal
		return a
	}
	var faults []FieldFailed
	for _, d := range m.Errors {
		if d != nil && d.Location != "" {
			faults = append(faults, FieldFailed{Field: fieldOf(d.Location), Error: d.Message})
		}
	}
	if len(faults) == 0 {
		return a
	}
	a.body.Details = &ErrorDetails{Field: faults[0].Field, Error: faults[0].Error}
	if len(faults) > 1 {
		a.body.Details.Errors = faults
	}
	a.body.Message = "the request is not valid: " + faults[0].Field + ": " + faults[0].Error
	return a
}

// fieldOf leaves out where in the request a field was: "body.name" is "name".
func fieldOf(location string) string {
	for _, place := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(location, place); ok {
			return rest
		}
	}
	return location
}

// finish completes the body for the request that ctx belongs to, and logs the cause of what the
// caller is not told.
func (a *answer) finish(ctx context.Context, logger *slog.Logger, cause error) *ErrorBody {
	a.body.Status = "error"
	info := infoFrom(ctx)
	a.body.TraceID = info.traceID
	switch {
	case ctx.Err() != nil && errors.Is(cause, context.Canceled):
		// The caller has gone; nobody reads the answer and nothing is wrong here.
		logger.LogAttrs(ctx, slog.LevelDebug, "request given up by the caller", info.attrs(slog.Any("error", cause))...)
	case a.hidden:
		logger.LogAttrs(ctx, slog.LevelError, "request failed", info.attrs(slog.Any("error", cause))...)
	case a.status == http.StatusServiceUnavailable:
		logger.LogAttrs(ctx, slog.LevelWarn, "request refused", info.attrs(slog.Any("error", cause))...)
	}
	return &a.body
}

// writeError answers a request that did not come through huma.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	a := answerFor(err)
	s.writeAnswer(w, r, a, err)
}

func (s *Server) writeAnswer(w http.ResponseWriter, r *http.Request, a answer, cause error) {
	writeJSON(w, a.status, a.finish(r.Context(), s.logger, cause))
}

// writeStatus answers with an error that arises from HTTP itself.
func (s *Server) writeStatus(w http.ResponseWriter, r *http.Request, status int, message string) {
	s.writeAnswer(w, r, answer{status: status, body: ErrorBody{ErrorCode: codeFor(status), Message: message}}, nil)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // fails only when the caller has gone; the response writer remembers that
}
