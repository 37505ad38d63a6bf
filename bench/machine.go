package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is what the figures depend on.
type machine struct {
	cores  int
	cpu    string
	fsync  time.Duration
	load   string
	golang string
	commit string
}

func (m machine) String() string {
	return fmt.Sprintf("%s, load before %s, commit %s", m.hardware(), m.load, m.commit)
}

func (m machine) hardware() string {
	return fmt.Sprintf("%d cores (%s), fsync %.2f ms, %s %s/%s",
		m.cores, m.cpu, float64(m.fsync.Microseconds())/1000, m.golang, runtime.GOOS, runtime.GOARCH)
}

func lookAtMachine(ctx context.Context) (machine, error) {
	m := machine{cores: runtime.NumCPU(), cpu: "unknown CPU", load: "unknown", golang: runtime.Version(), commit: "unknown"}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				m.cpu = strings.TrimSpace(value)
				break
			}
		}
		_ = f.Close()
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load, _, _ = strings.Cut(string(text), " ")
	}
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		m.commit = strings.TrimSpace(string(out))
	}
	var err error
	m.fsync, err = measureFsync()
	return m, err
}

// measureFsync appends a page to a file as a database's log does, and returns the median time of
// making it durable.
func measureFsync() (time.Duration, error) {
	dir, err := os.MkdirTemp("", "leatbench")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := os.Create(filepath.Join(dir, "wal"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	took := make([]time.Duration, 200)
	for i := range took {
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
