package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// lifelines keeps the pipes to the shells open for as long as this process lives.
var lifelines sync.Map

// start makes a server in a temporary folder and returns the URL of its database "postgres". It listens on a
// socket in that folder, so no port can be taken. A shell waits for the end of this process, however it comes,
// stops the server and removes the folder.
func start(settings ...string) (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "leatpg")
	if err != nil {
		return "", err
	}
	as, err := giveAway(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "log")) // in a folder of our own
	if err != nil {
		return "", err
	}
	defer func() { _ = log.Close() }()
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.Stdout, initdb.Stderr = dir, log, log
	as(initdb)
	if err := initdb.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w", err), os.RemoveAll(dir))
	}
	const script = `dir=$1; shift; "$@" & server=$!; read end; kill -INT $server; wait $server; rm -rf "$dir"`
	args := []string{
		"-c", script, "sh", dir, filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "unix_socket_permissions=0700",
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	shell := exec.Command("sh", args...)
	shell.Dir, shell.Stdout, shell.Stderr = dir, log, log
	as(shell)
	alive, err := shell.StdinPipe() // closed by the end of this process
	if err != nil {
		return "", err
	}
	if err := shell.Start(); err != nil {
		return "", err
	}
	lifelines.Store(dir, alive)
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	if err := answers(u.String()); err != nil {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		return "", errors.Join(fmt.Errorf("the server does not answer: %w\n%s", err, text), alive.Close())
	}
	return u.String(), nil
}

// answers waits until the server takes connections.
func answers(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, server)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// binaries returns the folder of the newest server that is installed.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql@*/bin/initdb", "/usr/local/opt/postgresql@*/bin/initdb"} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	if len(found) == 0 {
		return "", errors.New("initdb is neither in PATH nor where packages put it")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}
