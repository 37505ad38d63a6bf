package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultServer  = "http://127.0.0.1:8080"
	requestTimeout = 30 * time.Second
	maxAnswer      = 64 << 20
)

// clientFlags are the flags of commands that talk to a running server.
type clientFlags struct {
	server    string
	tokenFile string
	tenant    string
	output    string
}

func (f *clientFlags) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.server, "server", "", "the server's `URL` (default: LEAT_SERVER, else "+defaultServer+")")
	flags.StringVar(&f.tokenFile, "token-file", "", "read the token from this `file` (default: the token in LEAT_TOKEN, or the file that LEAT_TOKEN_FILE names)")
	flags.StringVar(&f.tenant, "tenant", "", "the `tenant` to ask for, where the server lets callers choose")
	flags.StringVarP(&f.output, "output", "o", outputTable, "how to print: table, json or jsonl")
}

// client speaks to one server.
type client struct {
	base   *url.URL
	header http.Header
	http   *http.Client
}

func (f *clientFlags) client(a App) (*client, error) {
	server := first(f.server, a.variable("LEAT_SERVER"), defaultServer)
	base, err := url.Parse(server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usage("--server: %q is not a URL such as %s", server, defaultServer)
	}
	if base.User != nil {
		return nil, usage("--server: a URL with a user or password would show in logs and lists of processes; use --token-file")
	}
	token, err := f.token(a)
	if err != nil {
		return nil, err
	}
	c := &client{base: base, header: http.Header{"User-Agent": {"leat"}}, http: &http.Client{
		Timeout: requestTimeout,
		// A redirect would carry the token elsewhere, or make a GET of a POST.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if token != "" {
		c.header.Set("Authorization", "Bearer "+token)
	}
	if f.tenant != "" {
		c.header.Set("Leat-Tenant", f.tenant)
	}
	return c, nil
}

func (f *clientFlags) token(a App) (string, error) {
	file := f.tokenFile
	if file == "" {
		if token := a.variable("LEAT_TOKEN"); token != "" {
			return token, nil
		}
		file = a.variable("LEAT_TOKEN_FILE")
	}
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", usage("read the token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// url returns the address of an API path; its segments are escaped here.
func (c *client) url(query url.Values, segments ...string) *url.URL {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	u := *c.base
	plainPath, rawPath := strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	u.Path = plainPath + "/v1/" + strings.Join(segments, "/")
	u.RawPath = rawPath + "/v1/" + strings.Join(escaped, "/")
	u.RawQuery = query.Encode()
	return &u
}

func (c *client) get(ctx context.Context, into any, query url.Values, segments ...string) (json.RawMessage, error) {
	return c.do(ctx, http.MethodGet, into, nil, c.url(query, segments...))
}

func (c *client) post(ctx context.Context, into any, body any, segments ...string) (json.RawMessage, error) {
	if body == nil {
		return c.do(ctx, http.MethodPost, into, nil, c.url(nil, segments...))
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return c.do(ctx, http.MethodPost, into, text, c.url(nil, segments...))
}

func (c *client) delete(ctx context.Context, into any, query url.Values, segments ...string) (json.RawMessage, error) {
	return c.do(ctx, http.MethodDelete, into, nil, c.url(query, segments...))
}

// do sends a request and decodes the answer, of which it also returns the text.
func (c *client) do(ctx context.Context, method string, into any, body []byte, to *url.URL) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, readAnswerError(resp, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, fmt.Errorf("the answer of %s is not what the API says: %w; is it a Leat server?", c.base.Host, err)
	}
	return text, nil
}

// unreachable says in one line that the server did not answer.
func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	cause, hint := err, ""
	var withURL *url.Error
	if errors.As(err, &withURL) {
		cause = withURL.Err // the URL is told below
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		hint = "; is leat serve running there?"
	}
	return &codedError{
		code: exitUnavailable,
		err:  fmt.Errorf("reach the server at %s: %w%s", c.base, cause, hint),
	}
}

// answerError is an answer of the server that is not a success.
type answerError struct {
	status int
	text   string // of the status line
	body   errorBody
}

// errorBody is the API's error.
type errorBody struct {
	ErrorCode string `json:"errorCode"`
	Message   string `json:"message"`
	Details   struct {
		Field  string       `json:"field"`
		Error  string       `json:"error"`
		Errors []fieldError `json:"errors"`
	} `json:"details"`
	TraceID string `json:"traceId"`
}

type fieldError struct {
	Field string `json:"field"`
	Error string `json:"error"`
}

func readAnswerError(resp *http.Response, text []byte) error {
	e := &answerError{status: resp.StatusCode, text: resp.Status}
	if json.Unmarshal(text, &e.body) != nil || e.body.Message == "" {
		e.body = errorBody{}
	}
	return e
}

// Error returns a line with code and message, and one for each field at fault.
func (e *answerError) Error() string {
	if e.body.Message == "" {
		return "the server answered " + e.text
	}
	var s strings.Builder
	if e.body.ErrorCode != "" {
		s.WriteString(e.body.ErrorCode + ": ")
	}
	s.WriteString(e.body.Message)
	if e.status >= http.StatusInternalServerError && e.body.TraceID != "" {
		s.WriteString(" (trace " + e.body.TraceID + ")")
	}
	faults := e.body.Details.Errors
	if len(faults) == 0 && (e.body.Details.Field != "" || e.body.Details.Error != "") {
		faults = []fieldError{{Field: e.body.Details.Field, Error: e.body.Details.Error}}
	}
	if len(faults) == 1 && faults[0].Error == e.body.Message {
		return s.String() // the one fault is the message
	}
	for _, f := range faults {
		s.WriteString("\n" + first(f.Field, "?") + ": " + f.Error)
	}
	return s.String()
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
