//go:build !unix

package postgrestest

import (
	"errors"
	"os/exec"
)

func giveAway(string) (func(*exec.Cmd), error) {
	return nil, errors.New("private servers are for Unix")
}
