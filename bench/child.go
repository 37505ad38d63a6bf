package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// children are what this program also is, in a process of its own: the first argument names one.
// A child says in its first line that it is ready, and ends when its standard input does.
var children = map[string]func(args []string) error{
	"child-nats": serveNATS,
	"child-feed": listenFeeds,
}

// child is a running one.
type child struct {
	lines *bufio.Reader
	first string // its first line
	stop  func()
}

func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{lines: bufio.NewReader(out), stop: func() {
		_ = in.Close()
		_ = cmd.Wait()
	}}
	if c.first, err = c.line(); err != nil {
		c.stop()
		return nil, fmt.Errorf("%s is not ready: %w", args[0], err)
	}
	return c, nil
}

// line is the next line that the child says.
func (c *child) line() (string, error) {
	text, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(text, "\n"), err
}

// startNATSProcess starts a server in a process of its own.
func startNATSProcess(ctx context.Context, env *Env) (url string, stop func(), err error) {
	dir, err := os.MkdirTemp(env.Dir, "nats")
	if err != nil {
		return "", nil, err
	}
	c, err := startChild(ctx, "child-nats", dir)
	if err != nil {
		return "", nil, err
	}
	return c.first, c.stop, nil
}

// serveNATS is the server; its first line is its URL.
func serveNATS(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want a folder, got %q", args)
	}
	url, stop, err := startNATSServer(args[0])
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println(url)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startNATSServer starts a server that listens, as large as natsbus's.
func startNATSServer(dir string) (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
		MaxPayload: 1 << 20, JetStreamMaxStore: 2 << 30, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		return "", nil, err
	}
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	if !s.ReadyForConnections(30 * time.Second) {
		stop()
		return "", nil, fmt.Errorf("the NATS server is not ready")
	}
	return s.ClientURL(), stop, nil
}
