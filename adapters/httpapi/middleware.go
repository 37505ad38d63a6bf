package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// enter is what every request passes: it is named, logged, and a panic behind it becomes an answer.
func (s *Server) enter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		r = withInfo(r)
		res := &response{ResponseWriter: w}
		defer s.logRequest(r, res, start)
		defer s.rescue(r, res)
		res.Header().Set("X-Content-Type-Options", "nosniff")
		res.Header().Set("Referrer-Policy", "no-referrer")
		if err := s.auth.admit(r); err != nil {
			s.writeError(res, r, err)
			return
		}
		next.ServeHTTP(res, r)
	})
}

func (s *Server) logRequest(r *http.Request, res *response, start time.Time) {
	level := slog.LevelDebug
	if res.status >= http.StatusInternalServerError && r.Context().Err() == nil {
		level = slog.LevelInfo
	}
	if !s.logger.Enabled(r.Context(), level) {
		return // as is the rule: nothing is put together for it
	}
	s.logger.LogAttrs(r.Context(), level, "request", infoFrom(r.Context()).attrs(
		slog.Int("status", res.status), slog.Duration("took", time.Since(start)))...)
}

// rescue turns a panic into an internal error. When a part of the answer is on its way already,
// the connection is cut, so that the caller does not take that part for the whole.
func (s *Server) rescue(r *http.Request, res *response) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic value is compared as net/http does
		panic(p)
	}
	if res.writeErr != nil { // the caller has gone, and huma panics when it cannot write
		s.logger.LogAttrs(r.Context(), slog.LevelDebug, "answer not taken", infoFrom(r.Context()).attrs(slog.Any("error", res.writeErr))...)
		return
	}
	cause := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if res.status != 0 {
		a := answerFor(cause)
		a.finish(r.Context(), s.logger, cause)
		panic(http.ErrAbortHandler)
	}
	s.writeError(res, r, cause)
}

// apiOnly is what requests for the API pass: who calls is put into the context.
func (s *Server) apiOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		known, err := s.withOrigin(r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		if id := r.Header.Get(headerCorrelation); id != "" {
			w.Header().Set(headerCorrelation, id)
		}
		next.ServeHTTP(w, known)
	})
}

// pageOnly sets what a browser may do with the page. A page may set headers of its own instead.
func pageOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
