package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/eventlog"
)

// maxHeader bounds a request's header, in bytes.
const maxHeader = 64 << 10

// Deps is what the API calls. Fields without "may be nil" are needed.
type Deps struct {
	Publisher   Publisher
	Events      eventlog.Searcher
	Deliveries  Deliveries
	Audit       Audit
	Emails      Emails
	DeadLetters deadletter.Store
	Handlers    Handlers

	// Inbox is the built-in inbox; may be nil: then there is no /v1/inbox.
	Inbox Inbox
	// WebSocket serves GET /v1/ws; may be nil: then the answer says that this process does not
	// broadcast. The request's context carries the caller.
	WebSocket http.Handler
	// Page serves what is not the API; may be nil.
	Page http.Handler
	// Routes add a service's own operations, with Register.
	Routes []func(huma.API)
	// Version is shown in the OpenAPI document. Default "dev".
	Version string
}

// Server is the API with the live feed and the web page.
type Server struct {
	listener
	cfg    Config
	auth   authenticator
	deps   Deps
	logger *slog.Logger
}

// New returns a server that is not started. Its error joins every fault of the configuration and
// of the routes.
func New(cfg Config, auth AuthConfig, deps Deps, logger *slog.Logger) (*Server, error) {
	s, err := newServer(cfg, auth, deps, deps.missing(), logger)
	if err != nil {
		return nil, err
	}
	handler, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.serve(handler)
	return s, nil
}

// NewFeed returns a server, not started, for a process that broadcasts and has no API: it serves the
// live feed at GET /v1/ws, with the same credentials, and nothing else.
func NewFeed(cfg Config, auth AuthConfig, webSocket http.Handler, logger *slog.Logger) (*Server, error) {
	var missing []error
	if webSocket == nil {
		missing = []error{errors.New("the live feed needs who serves it")}
	}
	s, err := newServer(cfg, auth, Deps{WebSocket: webSocket}, missing, logger)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+pathWebSocket, webSocket)
	s.serve(s.enter(s.apiOnly(s.only(mux, func(w http.ResponseWriter, r *http.Request) {
		s.notHere(w, r, codeNoAPI, "this process serves the live feed alone, at "+pathWebSocket+"; ask one that has the role api")
	}))))
	return s, nil
}

func newServer(cfg Config, auth AuthConfig, deps Deps, missing []error, logger *slog.Logger) (*Server, error) {
	faults := append(cfg.Validate(), auth.Validate()...)
	faults = append(faults, auth.ValidateListen(cfg)...)
	faults = append(faults, missing...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Server{cfg: cfg.withDefaults(), auth: newDevAuth(), deps: deps, logger: logger}, nil
}

// serve says what the server answers with.
func (s *Server) serve(handler http.Handler) {
	cfg, logger := s.cfg, s.logger
	s.listener = listener{
		key: "http.listen", address: cfg.Listen, shutdown: cfg.ShutdownTimeout, logger: logger,
		server: &http.Server{
			Handler: handler, ReadHeaderTimeout: min(cfg.ReadTimeout, 10*time.Second), ReadTimeout: cfg.ReadTimeout,
			WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		},
	}
}

func (d Deps) missing() []error {
	var faults []error
	need := func(name string, there bool) {
		if !there {
			faults = append(faults, fmt.Errorf("the API needs %s", name))
		}
	}
	need("Publisher", d.Publisher != nil)
	need("Events", d.Events != nil)
	need("Deliveries", d.Deliveries != nil)
	need("Audit", d.Audit != nil)
	need("Emails", d.Emails != nil)
	need("DeadLetters", d.DeadLetters != nil)
	need("Handlers", d.Handlers != nil)
	return faults
}

// Handler returns what the server serves.
func (s *Server) Handler() http.Handler { return s.server.Handler }

// routes builds the one handler. A clash of routes, or of the names of two schemas, is an error:
// the routes of a service are added here too, and huma and the mux report such mistakes by panic.
func (s *Server) routes() (handler http.Handler, err error) {
	defer func() {
		if p := recover(); p != nil {
			handler, err = nil, fmt.Errorf("register the routes of the API: %v", p)
		}
	}()
	mux := http.NewServeMux()
	version := s.deps.Version
	if version == "" {
		version = "dev"
	}
	api := s.newAPI(mux, version)

	mux.HandleFunc("POST "+pathEvents, s.publish)
	documentPublish(api)
	s.registerEvents(api)
	s.registerAudit(api)
	s.registerEmails(api)
	s.registerDeadLetters(api)
	s.registerHandlers(api)
	if s.deps.Inbox != nil {
		s.registerInbox(api)
	}
	if s.deps.WebSocket != nil {
		mux.Handle("GET "+pathWebSocket, s.deps.WebSocket)
		documentWebSocket(api)
	} else {
		mux.HandleFunc("GET "+pathWebSocket, func(w http.ResponseWriter, r *http.Request) {
			s.notHere(w, r, codeNoFeed, "this process does not broadcast; the live feed is served by processes that have the role broadcast")
		})
	}
	for _, add := range s.deps.Routes {
		add(api)
	}
	if err := s.serveOpenAPI(mux, api); err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return s.enter(s.dispatch(mux)), nil
}

// dispatch gives a request to the API or to the page. The page is not mounted on the API's mux: a
// pattern that takes everything would turn "wrong method" into "page".
func (s *Server) dispatch(mux *http.ServeMux) http.Handler {
	api := s.apiOnly(s.only(mux, func(w http.ResponseWriter, r *http.Request) {
		s.writeStatus(w, r, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	}))
	page := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.writeStatus(w, r, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	}))
	if s.deps.Page != nil {
		page = s.readOnly(pageOnly(s.deps.Page))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; p == "/v1" || strings.HasPrefix(p, "/v1/") || p == "/openapi.json" {
			api.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// only gives a request to the mux where that has a route, and to nothing where it has none. It asks the
// mux's own answer whether another method would have one. Where the route has no wildcards, whose values
// the mux would note, there is no need to look for it again.
func (s *Server) only(mux *http.ServeMux, nothing http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, pattern := mux.Handler(r)
		if pattern != "" {
			if strings.Contains(pattern, "{") {
				mux.ServeHTTP(w, r)
			} else {
				r.Pattern = pattern
				found.ServeHTTP(w, r)
			}
			return
		}
		probe := &headerProbe{header: http.Header{}}
		found.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			s.methodNotAllowed(w, r, probe.header.Get("Allow"))
			return
		}
		nothing(w, r)
	})
}

// notHere answers what another process would serve.
func (s *Server) notHere(w http.ResponseWriter, r *http.Request, code, message string) {
	s.writeAnswer(w, r, answer{status: http.StatusNotFound, body: ErrorBody{ErrorCode: code, Message: message}}, nil)
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	s.writeStatus(w, r, http.StatusMethodNotAllowed, fmt.Sprintf("%s is not allowed here; allowed: %s", r.Method, allow))
}

// readOnly lets only reading requests through to the page.
func (s *Server) readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.methodNotAllowed(w, r, "GET, HEAD")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headerProbe keeps the status and header of an answer that nobody gets.
type headerProbe struct {
	header http.Header
	status int
}

func (p *headerProbe) Header() http.Header         { return p.header }
func (p *headerProbe) WriteHeader(status int)      { p.status = status }
func (p *headerProbe) Write(b []byte) (int, error) { return len(b), nil }
