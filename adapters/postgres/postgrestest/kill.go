package postgrestest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a private server that a test kills and starts again. Its database is the test's own.
type Server struct {
	tb     testing.TB
	server *private
}

// StartServer starts a private server with the settings, for the time of the test. Without binaries of one the
// test is skipped, or fails where CI=true.
func StartServer(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	p, err := launch(settings...)
	if err != nil {
		missing(tb, err)
	}
	tb.Cleanup(func() {
		lifelines.Delete(p.dir)
		_ = p.orders.Close()
		_ = p.shell.Wait() // its code is that of a server which may have been killed
	})
	return &Server{tb: tb, server: p}
}

// URL is where the database is, whether the server runs or not.
func (s *Server) URL() string { return s.server.url }

// Kill ends the server at once, without a checkpoint, as "pg_ctl stop -m immediate" does. What was
// committed stays. It returns when nobody answers any more.
func (s *Server) Kill() {
	s.tb.Helper()
	s.order("kill")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.server.url)
		if ctx.Err() != nil {
			s.tb.Fatal("the database server does not end")
		}
		if err != nil {
			return
		}
		_ = conn.Close(ctx)
		time.Sleep(5 * time.Millisecond)
	}
}

// Start starts a server that was killed, and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	s.order("start")
	if err := answers(s.server.url); err != nil {
		s.tb.Fatalf("the database server does not answer: %v", err)
	}
}

func (s *Server) order(order string) {
	s.tb.Helper()
	if _, err := io.WriteString(s.server.orders, order+"\n"); err != nil {
		s.tb.Fatalf("tell the database server to %s: %v", order, err)
	}
}
