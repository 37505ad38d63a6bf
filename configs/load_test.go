package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/configs"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLoadOfNothingIsTheDefault(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(configs.Options{})
	require.NoError(t, err)
	require.Equal(t, configs.Default(), c)
	require.NoError(t, c.ValidateRoles(nil))
	require.True(t, c.HasRole("anything"))
	require.True(t, c.BuiltInInbox())
}

func TestLaterSourcesWin(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "leat.yaml", `
http: {listen: "127.0.0.1:1"}
ops:
  listen: 127.0.0.1:2
store.table_prefix: filed_   # dots do as well as levels
retry:
  attempts: 7
  multiplier: 3
inbox:
roles: [api, audit]
`)
	c, err := configs.Load(configs.Options{
		File: file,
		Env: []string{
			"PATH=/bin", "LEAT_OPS__LISTEN=127.0.0.1:22", "LEAT_HTTP__LISTEN=127.0.0.1:11",
			"LEAT_RETRY__INITIAL=1500ms", "LEAT_STORE__TABLE_PREFIX=env_",
		},
		Flags: map[string]string{"http.listen": "127.0.0.1:111"},
	})
	require.NoError(t, err)
	want := configs.Default()
	want.HTTP.Listen = "127.0.0.1:111"
	want.Ops.Listen = "127.0.0.1:22"
	want.Store.TablePrefix = "env_"
	want.Retry.Attempts = 7
	want.Retry.Multiplier = 3
	want.Retry.Initial = 1500 * time.Millisecond
	want.Roles = []string{"api", "audit"}
	require.Equal(t, want, c)
}

func TestListsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(configs.Options{Env: []string{"LEAT_ROLES=api, sequencer ,audit"}})
	require.NoError(t, err)
	require.Equal(t, []string{"api", "sequencer", "audit"}, c.Roles)
	require.True(t, c.HasRole("sequencer"))
	require.False(t, c.HasRole("email"))
}

func TestHandlerSetsOfAnyName(t *testing.T) {
	t.Parallel()
	c, err := configs.Load(configs.Options{
		File: writeFile(t, "leat.yaml", "handlers:\n  audit: {attempts: 9}\n  late-billing: {lanes: 1}\n"),
		Env:  []string{"LEAT_HANDLERS__LATE_BILLING__TIMEOUT=5s", "LEAT_HANDLERS__AUDIT__JITTER=0"},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]handler.Policy{
		"audit":        {Attempts: 9, Jitter: -1},
		"late-billing": {Lanes: 1, Timeout: 5 * time.Second},
	}, c.Handlers)

	own := handler.Policy{Attempts: 5, Lanes: 3}
	got := c.Policy("audit", own)
	require.Equal(t, 9, got.Attempts, "the configuration of the set wins over the set's own policy")
	require.Equal(t, 3, got.Lanes, "the set's own policy wins over the default")
	require.Equal(t, 2*time.Second, got.Initial)
	require.Equal(t, 5, c.Policy("notify", own).Attempts)
	require.Equal(t, 3, c.Policy("notify", handler.Policy{}).Attempts)
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	secret := writeFile(t, "secret", "two\nlines\n")
	c, err := configs.Load(configs.Options{
		Env: []string{"LEAT_SMTP__PASSWORD_FILE=" + secret, "LEAT_SMTP__USERNAME=me"},
	})
	require.NoError(t, err)
	require.Equal(t, "two\nlines", c.SMTP.Password)

	_, err = configs.Load(configs.Options{Env: []string{"LEAT_SMTP__PASSWORD_FILE=/no/such/file"}})
	require.ErrorContains(t, err, "smtp.password: read the file that LEAT_SMTP__PASSWORD_FILE names")

	_, err = configs.Load(configs.Options{Env: []string{"LEAT_SMTP__PASSWORD_FILE=" + secret, "LEAT_SMTP__PASSWORD=x"}})
	require.ErrorContains(t, err, "want one of them")

	_, err = configs.Load(configs.Options{Env: []string{"LEAT_SMTP__HOST_FILE=" + secret}})
	require.ErrorContains(t, err, "unknown key", "only secrets are read from files")
}

func TestVariablesThatAreNoConfiguration(t *testing.T) {
	t.Parallel()
	_, err := configs.Load(configs.Options{Env: []string{
		"LEAT_SERVER=http://example.test", "LEAT_TOKEN=x", "LEAT_TOKEN_FILE=y", "LEAT_TEST_POSTGRES=z", "LEATHER=w",
	}})
	require.NoError(t, err)
}

func TestFaultsNameTheKey(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file  string
		env   []string
		flags map[string]string
		want  string
	}{
		"unknown in file":            {file: "http: {listne: x}", want: `http.listne: unknown key in FILE; did you mean http.listen?`},
		"unknown section":            {file: "quux: {a: 1}", want: `quux.a: unknown key in FILE`},
		"unknown in environment":     {env: []string{"LEAT_BUS_KIND=sql"}, want: `bus_kind: unknown key in LEAT_BUS_KIND; did you mean LEAT_BUS__KIND?`},
		"unknown flag":               {flags: map[string]string{"stroe.url": "x"}, want: `stroe.url: unknown key in --set stroe.url; did you mean store.url?`},
		"unknown policy key":         {file: "handlers: {audit: {attempt: 3}}", want: `handlers.audit.attempt: unknown key in FILE; did you mean handlers.audit.attempts?`},
		"bad set name":               {file: "handlers: {Audit: {attempts: 3}}", want: `handlers.Audit.attempts: unknown key in FILE`},
		"section with a value":       {file: "http: 8080", want: `http: is a section and has no value of its own (in FILE)`},
		"duration without unit":      {file: "retry: {initial: 2}", want: `retry.initial: "2" in FILE is not a duration such as 500ms, 30s or 1m30s`},
		"duration of nonsense":       {env: []string{"LEAT_DRAIN__TIMEOUT=soon"}, want: `drain.timeout: "soon" in LEAT_DRAIN__TIMEOUT is not a duration such as 500ms, 30s or 1m30s`},
		"number":                     {env: []string{"LEAT_SMTP__PORT=many"}, want: `smtp.port: "many" in LEAT_SMTP__PORT is not a whole number`},
		"fraction":                   {file: "retry: {attempts: 2.5}", want: `retry.attempts: "2.5" in FILE is not a whole number`},
		"text that is a number":      {file: "store: {table_prefix: 7}", want: `store.table_prefix: "7" in FILE is not a text; put it in quotes`},
		"secrets are not shown":      {file: "smtp: {password: 12345}", want: `smtp.password: the value in FILE is not a text; put it in quotes`},
		"written zero":               {file: "retry: {attempts: 0}", want: `retry.attempts: "0" in FILE is not more than 0`},
		"out of range":               {file: "handlers: {audit: {lanes: 65}}", want: `handlers.audit.lanes: 65 is not from 1 to 64`},
		"list":                       {file: "roles: [1]", want: `roles: "[1]" in FILE is not a list of texts`},
		"role name":                  {file: "roles: [API]", want: `roles: "API" is not the name of a role: lowercase letters, digits and hyphens`},
		"bus":                        {file: "bus: {kind: kafka}", want: `bus.kind: "kafka" is not one of sql, gochannel`},
		"a bad nats url":             {file: "nats: {url: \"pigeon://x\"}", want: `nats.url: `},
		"a foreign section":          {file: "nats: {foreign: [{subjekt: x}]}", want: `nats.foreign: `},
		"a bad PostgreSQL URL":       {file: "store: {url: 'postgres://u:secret@h:port/d'}", want: `store.url: want a PostgreSQL URL`},
		"store scheme":               {file: "store: {url: 'mysql://u:secret@h/d'}", want: `store.url: "mysql://u:***@h/d" is neither sqlite: and a path, such as sqlite:./data/leat.db, nor a postgres:// URL`},
		"store in memory":            {file: "store: {url: 'sqlite::memory:'}", want: `store.url: a database in memory keeps nothing; name a file`},
		"store with a host":          {file: "store: {url: 'sqlite://data/leat.db'}", want: `store.url: "sqlite://data/leat.db" names a host; write sqlite:data/leat.db or sqlite:///data/leat.db`},
		"table prefix":               {file: "store: {table_prefix: 'a; drop'}", want: `store.table_prefix: "a; drop" must have`},
		"address":                    {file: "ops: {listen: '8081'}", want: `ops.listen: "8081" is not an address such as 127.0.0.1:8080`},
		"dev beyond loopback":        {file: "http: {listen: ':8080'}", want: `auth.mode: "dev" lets every caller in and is refused on http.listen ":8080"`},
		"inbox beyond loopback":      {file: "inbox: {listen: '0.0.0.0:25'}", want: `inbox.listen: "0.0.0.0:25" can be reached from elsewhere`},
		"auth keys is not there yet": {file: "auth: {mode: keys}", want: `auth.mode: keys is not available in this version; use dev`},
		"no such file":               {file: "MISSING", want: `read the configuration file FILE: no such file or directory`},
		"log format":                 {file: "log: {format: xml}", want: `log.format: "xml" is not one of auto, text, json`},
		"components are asked":       {file: "ws: {pong_timeout: 1s}\n", want: `ws.pong_timeout: 1s must be more than`},
		"email worker":               {file: "email: {lease: 1s}", want: `email.lease: 1s is not at least four times email.timeout`},
		"smtp without a host":        {file: "smtp: {tls: maybe}", want: `smtp.tls: "maybe" is not`},
		"sender":                     {file: "smtp: {from: nobody}", want: `smtp.from: "nobody" is no`},
		"what other keys say":        {file: "email: {from: a@b.c}", want: `email.from: unknown key in FILE`},
		"lanes":                      {file: "lanes: {lease: 1ms}", want: `lanes.lease: 1ms is less than 10ms`},
		"on_failure":                 {file: "publish: {on_failure: ignore}", want: `publish.on_failure: "ignore" is not one of error, continue`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := configs.Options{Env: tt.env, Flags: tt.flags}
			file := "FILE"
			if tt.file != "" {
				file = writeFile(t, "leat.yaml", tt.file)
				o.File = file
			}
			if tt.file == "MISSING" {
				require.NoError(t, os.Remove(file))
			}
			_, err := configs.Load(o)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), replaceFile(tt.want, file)), "got %q, want it to begin with %q", err, tt.want)
			require.NotContains(t, err.Error(), "\n", "one fault, one line")
			require.NotContains(t, err.Error(), "secret@")
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "leat.yaml", "http: {listen: x}\nretry: {max: 5}\nnope: 1\n")
	_, err := configs.Load(configs.Options{
		File: file, Env: []string{"LEAT_BUS__KIND=pigeon", "LEAT_LOG__LEVEL=loud"}, Flags: map[string]string{"a.b": "c"},
	})
	require.Error(t, err)
	for _, key := range []string{"http.listen: ", "retry.max: ", "nope: ", "bus.kind: ", "log.level: ", "a.b: "} {
		require.ErrorContains(t, err, key)
	}
}

func TestBrokenYAML(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"http: [", "a: 1\na: 2\n", "just text"} {
		_, err := configs.Load(configs.Options{File: writeFile(t, "leat.yaml", text)})
		require.ErrorContains(t, err, "read the configuration file", text)
	}
}

func TestRolesMustExist(t *testing.T) {
	t.Parallel()
	sets := []string{"audit", "broadcast", "notify", "billing"}
	c := configs.Default()
	for _, roles := range [][]string{{"all"}, {"api", "sequencer", "email"}, {"audit", "billing"}, nil} {
		c.Roles = roles
		require.NoError(t, c.ValidateRoles(sets))
	}
	c.Roles = []string{"api", "audti"}
	c.Handlers = map[string]handler.Policy{"biling": {Lanes: 2}}
	require.EqualError(t, c.ValidateRoles(sets), `roles: there is no role "audti" (did you mean "audit"?); there are api, sequencer, email, audit, broadcast, notify, billing, and all`+"\n"+
		`handlers.biling: there is no handler set "biling" (did you mean "billing"?); there are audit, broadcast, notify, billing`)
}

func TestWithDefaultsFillsWhatIsZero(t *testing.T) {
	t.Parallel()
	require.Equal(t, configs.Default(), (&configs.Config{}).WithDefaults())
	c := (&configs.Config{HTTP: httpapi.Config{Listen: "127.0.0.1:0"}}).WithDefaults()
	want := configs.Default()
	want.HTTP.Listen = "127.0.0.1:0"
	require.Equal(t, want, c)
	require.NoError(t, c.Validate())
}

func TestSQLitePath(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"sqlite:./data/leat.db":    "./data/leat.db",
		"sqlite:/var/lib/leat.db":  "/var/lib/leat.db",
		"sqlite:///var/lib/l e.db": "/var/lib/l e.db",
	} {
		got, err := configs.Store{URL: url}.SQLitePath()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
