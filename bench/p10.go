package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func rowsP10() []Row {
	return []Row{{
		ID: "P10", Work: "the program as make build makes it, on embedded defaults, started on an empty folder until /readyz answers 200; its resident memory after two idle seconds",
		Peer: "–", Limits: []Limit{{Name: "ready ms", Below: 150}, {Name: "idle MB", Below: 60, Steady: true}, {Name: "binary MB", Below: 60, Steady: true}}, N: 1, Ours: startProgram,
	}}
}

// programDir finds the repository's root from where bench is run: there, or in the module of bench.
func programDir() (string, error) {
	for _, dir := range []string{".", ".."} {
		if _, err := os.Stat(filepath.Join(dir, "wiring", "cmd", "leat")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("run it in the repository's root: P10 builds the program")
}

func buildProgram(ctx context.Context, env *Env) (path string, err error) {
	made, err := env.row.once("program", func() (any, func() error, error) {
		root, err := programDir()
		if err != nil {
			return nil, nil, err
		}
		path := filepath.Join(env.row.dir, "leat")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./wiring/cmd/leat")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("build the program: %w: %s", err, out)
		}
		return path, func() error { return nil }, nil
	})
	if err != nil {
		return "", err
	}
	return made.(string), nil
}

func startProgram(ctx context.Context, env *Env, _ int) (f Figure, err error) {
	path, err := buildProgram(ctx, env)
	if err != nil {
		return Figure{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Figure{}, err
	}
	cmd := exec.CommandContext(ctx, path, "serve", "--set", "http.listen=127.0.0.1:0", "--set", "ops.listen=127.0.0.1:0", "--set", "inbox.listen=127.0.0.1:0",
		"--set", "log.format=json")
	cmd.Dir = env.Dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LEAT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return Figure{}, err
	}
	ops := make(chan string, 1)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Figure{}, err
	}
	go func() {
		defer close(ops)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var entry struct{ Msg, Key, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" && entry.Key == "ops.listen" {
				ops <- entry.Address
			}
		}
	}()
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
		for range ops { // until it has ended
		}
		err = errors.Join(err, cmd.Wait())
	}()
	select {
	case address, ok := <-ops:
		if !ok {
			return Figure{}, errors.New("the program ended before it was ready")
		}
		if err := untilReady(ctx, "http://"+address+"/readyz"); err != nil {
			return Figure{}, err
		}
	case <-ctx.Done():
		return Figure{}, ctx.Err()
	}
	ready := time.Since(start)
	time.Sleep(2 * time.Second)
	resident, err := residentBytes(cmd.Process.Pid)
	return Figure{Rate: 1 / ready.Seconds(), Values: map[string]float64{
		"ready ms": float64(ready.Microseconds()) / 1000, "idle MB": resident / 1e6, "binary MB": float64(info.Size()) / 1e6,
	}}, err
}

func untilReady(ctx context.Context, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s does not say that it is ready: %w", url, ctx.Err())
		}
	}
}

// residentBytes is what a process holds of the machine's memory.
func residentBytes(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("the memory of a process is measured on Linux only: %w", err)
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, err
	}
	return resident * float64(os.Getpagesize()), nil
}
