//go:build prove

package prove_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// mountSmall mounts a file system in memory that holds so many bytes, until the test ends.
func mountSmall(t *testing.T, bytes int) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "leatsmall")
	if err != nil {
		return "", err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH) // whoever has a file open there keeps it
		_ = os.Remove(dir)
	})
	return dir, nil
}
