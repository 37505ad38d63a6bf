package configs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/configs"
)

// Whatever stands in the sources, loading ends with the same faults, or the same configuration,
// each time; and what Print writes of it is the same configuration.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("leat.example.yaml")
	require.NoError(f, err)
	f.Add(string(example), "LEAT_HTTP__LISTEN", "127.0.0.1:0", "retry.attempts", "7")
	f.Add("http: {listen: 1}\nhandlers: {audit: {lanes: 65}}\nroles: [api, audit]", "LEAT_HANDLERS__MY_SET__LANES", "3", "handlers..lanes", "")
	f.Add("nats:\n  foreign:\n    - {subject: orders.>, tenant: acme, types: {a: b.c}}\n", "LEAT_RETRY__JITTER", "0", "roles", " a,, b ")
	f.Add("a: &a [*a]", "LEAT_", "\xff", "", "NaN")
	f.Add("store: {url: \"postgres://u:p@h/d?x=%zz\"}\n? [1]\n: 2", "LEAT_STORE__URL__X", "1", "store", "{}")
	f.Add("<<: {http.listen: x}\nhttp: ~\nhttp.listen: ['a']", "LEAT_SMTP__PASSWORD", "secret", "email.lease", "-1h")
	f.Fuzz(func(t *testing.T, file, name, value, flag, flagValue string) {
		if strings.HasSuffix(strings.ToUpper(name), "_FILE") {
			return // would read any file of this machine
		}
		path := filepath.Join(t.TempDir(), "leat.yaml")
		load := func(text string, o configs.Options) (*configs.Config, error) {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			o.File = path
			return configs.Load(o)
		}
		o := configs.Options{Env: []string{name + "=" + value}, Flags: map[string]string{flag: flagValue}}
		c, err := load(file, o)
		again, errAgain := load(file, o)
		if err != nil {
			require.EqualError(t, errAgain, err.Error())
			return
		}
		require.NoError(t, errAgain)
		require.Equal(t, c, again)
		require.NoError(t, c.Validate())
		var printed, second bytes.Buffer
		require.NoError(t, configs.Print(&printed, c))
		back, err := load(printed.String(), configs.Options{})
		require.NoError(t, err, "printed:\n%s", &printed)
		require.NoError(t, configs.Print(&second, back))
		require.Equal(t, printed.String(), second.String())
	})
}
