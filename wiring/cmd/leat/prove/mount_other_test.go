//go:build prove && !linux

package prove_test

import (
	"errors"
	"testing"
)

func mountSmall(*testing.T, int) (string, error) {
	return "", errors.New("this operating system mounts otherwise")
}
