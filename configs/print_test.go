package configs_test

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
)

func replaceFile(text, file string) string { return strings.ReplaceAll(text, "FILE", file) }

func TestPrintIsReadBack(t *testing.T) {
	t.Parallel()
	c := configs.Default()
	c.Roles = []string{"api", "audit"}
	c.Retry.Initial = 90 * time.Minute
	c.Retry.Jitter = -1
	c.Handlers = map[string]handler.Policy{"audit": {Attempts: 4, Jitter: -1}}
	var out bytes.Buffer
	require.NoError(t, configs.Print(&out, c))
	back, err := configs.Load(configs.Options{File: writeFile(t, "leat.yaml", out.String())})
	require.NoError(t, err, out.String())
	require.Equal(t, c, back)
	require.Contains(t, out.String(), "initial: 1h30m\n")
}

func TestPrintShowsNoSecrets(t *testing.T) {
	t.Parallel()
	c := configs.Default()
	c.SMTP.Password = "hunter2"
	c.Store.URL = "postgres://leat:hunter2@db/leat"
	var out bytes.Buffer
	require.NoError(t, configs.Print(&out, c))
	require.NotContains(t, out.String(), "hunter2")
	require.Contains(t, out.String(), "password: '***'")
	require.Contains(t, out.String(), "url: postgres://leat:***@db/leat")
}

// What the example says is the default must be the default, and no key may be missing in it.
func TestExampleHoldsEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("leat.example.yaml")
	require.NoError(t, err)

	asItIs, err := configs.Load(configs.Options{File: "leat.example.yaml"})
	require.NoError(t, err)
	require.Equal(t, configs.Default(), asItIs)

	switchedOn := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(string(text), "$1$2")
	c, err := configs.Load(configs.Options{File: writeFile(t, "leat.yaml", switchedOn)})
	require.NoError(t, err)
	require.Equal(t, map[string]handler.Policy{"audit": handler.DefaultPolicy()}, c.Handlers)
	c.Handlers = nil
	require.Equal(t, configs.Default(), c)

	for _, key := range configs.Keys() {
		require.Regexp(t, `(?m)^ *#?`+key[strings.LastIndexByte(key, '.')+1:]+`:`, string(text), "the example lacks %s", key)
	}
	require.Len(t, configs.Keys(), countKeys(switchedOn), "the example has as many keys as there are")
}

// countKeys counts the lines that give a key a value.
func countKeys(text string) int {
	return len(regexp.MustCompile(`(?m)^ *[a-z_]+: \S`).FindAllString(text, -1))
}

func TestEveryFieldHasAKey(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, configs.Keys())
	c := reflect.ValueOf(*configs.Default())
	for i := range c.NumField() {
		require.NotEmpty(t, c.Type().Field(i).Tag.Get("koanf"), c.Type().Field(i).Name)
	}
}
