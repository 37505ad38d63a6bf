package natstest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Creds is an operator with one account whose users log in with a file.
type Creds struct {
	Path string // of a user's file

	config string // of the server
}

// NewCreds makes an operator, an account that may use JetStream, and a user of it.
func NewCreds(tb testing.TB) *Creds {
	tb.Helper()
	operator, account, user := newKey(tb, nkeys.CreateOperator), newKey(tb, nkeys.CreateAccount), newKey(tb, nkeys.CreateUser)
	system := public(tb, newKey(tb, nkeys.CreateAccount))
	claims := jwt.NewAccountClaims(public(tb, account))
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	ofOperator := sign(tb, jwt.NewOperatorClaims(public(tb, operator)), operator)
	ofSystem := sign(tb, jwt.NewAccountClaims(system), operator)
	ofAccount := sign(tb, claims, operator)
	ofUser := sign(tb, jwt.NewUserClaims(public(tb, user)), account)
	seed, err := user.Seed()
	if err != nil {
		tb.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(ofUser, seed)
	if err != nil {
		tb.Fatal(err)
	}
	c := &Creds{Path: filepath.Join(tb.TempDir(), "user.creds")}
	if err := os.WriteFile(c.Path, file, 0o600); err != nil {
		tb.Fatal(err)
	}
	c.config = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }",
		ofOperator, system, system, ofSystem, public(tb, account), ofAccount)
	return c
}

func newKey(tb testing.TB, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	tb.Helper()
	key, err := create()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func public(tb testing.TB, key nkeys.KeyPair) string {
	tb.Helper()
	text, err := key.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func sign(tb testing.TB, claims jwt.Claims, by nkeys.KeyPair) string {
	tb.Helper()
	text, err := claims.Encode(by)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
