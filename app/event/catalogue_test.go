package event_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type address struct {
	City string `json:"city" jsonschema:"minLength=1"`
	Zip  string `json:"zip,omitempty" jsonschema:"maxLength=5"`
}

type ordered struct {
	OrderID string            `json:"order_id" jsonschema:"minLength=1"`
	Email   string            `json:"email,omitempty" jsonschema:"format=email"`
	Count   int64             `json:"count,omitempty"`
	To      *address          `json:"to,omitempty"`
	Stops   []address         `json:"stops,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	At      time.Time         `json:"at,omitzero"`
	Extra   json.RawMessage   `json:"extra,omitempty"`
}

func (ordered) EventType() string { return "order.placed" }

type failing struct {
	Level domain.Severity `json:"level"`
}

func (failing) EventType() string           { return "disk.failing" }
func (f failing) Severity() domain.Severity { return f.Level }

type renamed struct {
	FullName string `json:"full_name" jsonschema:"minLength=1"`
}

func (renamed) EventType() string { return "person.renamed" }

func rename(from, to string) event.UpcastFunc {
	return func(data json.RawMessage) (json.RawMessage, error) {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return nil, err
		}
		if m[from] == nil {
			return nil, errors.New("there is no " + from)
		}
		m[to] = m[from]
		delete(m, from)
		return json.Marshal(m)
	}
}

var definitions = event.Definitions{
	event.Define[ordered](event.Business, event.Realtime()),
	event.Define[failing](event.Alert),
	event.Define[renamed](event.Business, event.Version(3), event.Upcast(1, rename("name", "fullname")), event.Upcast(2, rename("fullname", "full_name"))),
}

func catalogue(t testing.TB) *event.Catalogue {
	t.Helper()
	c, err := event.NewCatalogue(definitions)
	require.NoError(t, err)
	return c
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	require.Equal(t, []string{"disk.failing", "order.placed", "person.renamed"}, c.Types())
	d, ok := c.Lookup("order.placed")
	require.True(t, ok)
	require.Equal(t, "order.placed", d.Type())
	require.Equal(t, event.Business, d.Kind())
	require.Equal(t, 1, d.SchemaVersion())
	require.True(t, d.IsRealtime())
	d, _ = c.Lookup("person.renamed")
	require.Equal(t, 3, d.SchemaVersion())
	require.False(t, d.IsRealtime())
	_, ok = c.Lookup("order.lost")
	require.False(t, ok)
	require.Equal(t, []string{"disk.failing", "order.placed"}, c.Match("order.*", "*.placed", "disk.failing"))
	require.Empty(t, c.Match("page.*"))
}

func TestSchemaGolden(t *testing.T) {
	t.Parallel()
	got, ok := catalogue(t).Schema("order.placed")
	require.True(t, ok)
	want, err := os.ReadFile("testdata/order.placed.schema.json")
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), string(got))
	_, ok = catalogue(t).Schema("order.lost")
	require.False(t, ok)
}

type (
	badName    struct{}
	twin       struct{}
	silent     struct{}
	undefined  struct{ C chan int }
	endless    struct{ Next *endless }
	forest     []endlessly
	endlessly  struct{ Trees map[string]forest }
	notAStruct string
)

func (badName) EventType() string    { return "Bad" }
func (twin) EventType() string       { return "order.placed" }
func (silent) EventType() string     { return "disk.silent" }
func (undefined) EventType() string  { return "channel.sent" }
func (endless) EventType() string    { return "list.grown" }
func (endlessly) EventType() string  { return "tree.grown" }
func (notAStruct) EventType() string { return "string.sent" }

func TestCatalogueReportsEveryFault(t *testing.T) {
	t.Parallel()
	up := rename("a", "b")
	_, err := event.NewCatalogue(definitions, event.Definitions{
		event.Define[badName](event.Business),
		event.Define[twin](event.Business),
		event.Define[silent](event.Alert),
		event.Define[undefined](event.Business),
		event.Define[endless](event.Business),
		event.Define[endlessly](event.Business),
		event.Define[notAStruct](event.Business),
		event.Define[*ordered](event.Business),
		event.Define[ordered]("rumour"),
		event.Define[renamed](event.Business, event.Version(0)),
		event.Define[renamed](event.Business, event.Version(3), event.Upcast(1, up)),
		event.Define[renamed](event.Business, event.Version(2), event.Upcast(1, up), event.Upcast(2, up)),
	})
	require.Error(t, err)
	for _, want := range []string{
		`event type "Bad" needs at least two segments`,
		`event "order.placed" is defined twice: by event_test.ordered and by event_test.twin`,
		`event "disk.silent": an alert needs the method Severity()`,
		`event "channel.sent": derive a schema from event_test.undefined: unsupported type chan int`,
		`event "list.grown": derive a schema from event_test.endless: event_test.endless holds itself`,
		`event "tree.grown": derive a schema from event_test.endlessly: event_test.endlessly holds itself`,
		`event event_test.notAStruct: an event must be a struct`,
		`event *event_test.ordered: an event must be a struct`,
		`event "order.placed": "rumour" is no kind of event`,
		`event "person.renamed": schema version 0 must be 1 or more`,
		`event "person.renamed": version 2 cannot be read: there is no upcast from it to version 3`,
		`event "person.renamed": an upcast from version 2 has no place: the current version is 2`,
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	d, data, err := c.Encode(ordered{OrderID: "o1"})
	require.NoError(t, err)
	require.Equal(t, "order.placed", d.Type())
	require.Equal(t, `{"order_id":"o1"}`, string(data))
	d, _, err = c.Encode(failing{domain.Urgent})
	require.NoError(t, err)
	require.Equal(t, domain.Urgent, event.SeverityOf(d, failing{domain.Urgent}))
	require.Empty(t, event.SeverityOf(d, ordered{}))

	for _, test := range []struct {
		e    domain.Event
		code string
	}{
		{nil, "EVENT_MISSING"},
		{silent{}, "UNKNOWN_EVENT_TYPE"},
		{badName{}, "INVALID_EVENT_TYPE"},
		{twin{}, "UNKNOWN_EVENT_TYPE"},
		{&ordered{OrderID: "o1"}, "UNKNOWN_EVENT_TYPE"},
		{ordered{}, "SCHEMA_VALIDATION_ERROR"},
		{ordered{OrderID: "o1", Extra: json.RawMessage("\"\xff\"")}, "INVALID_JSON"},
		{ordered{OrderID: "o1", Extra: json.RawMessage("{")}, "SCHEMA_VALIDATION_ERROR"},
	} {
		_, _, err := c.Encode(test.e)
		require.Equal(t, test.code, codeOf(err), "%#v: %v", test.e, err)
		require.Equal(t, domain.Invalid, domain.KindOf(err))
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, test := range []struct {
		data, want, code, field string
	}{
		{data: `{"order_id":"o1"}`, want: `{"order_id":"o1"}`},
		{data: " {\n\"order_id\" : \"o1\", \"new\": [1, 2.50, 1e400] }\n", want: `{"order_id":"o1","new":[1,2.50,1e400]}`},
		{data: `{"order_id":"o1","count":9007199254740993}`, want: `{"order_id":"o1","count":9007199254740993}`},
		{data: `{"order_id":"o1","labels":{"A":"1","a":"2"}}`, want: `{"order_id":"o1","labels":{"A":"1","a":"2"}}`},
		{data: `{"order_id":"o1","extra":{"Email":1,"email":2}}`, want: `{"order_id":"o1","extra":{"Email":1,"email":2}}`},

		{data: ``, code: "INVALID_JSON", field: "data"},
		{data: `null`, code: "INVALID_JSON", field: "data"},
		{data: `[]`, code: "INVALID_JSON", field: "data"},
		{data: `"x"`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1"`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1",}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1"}}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1"}{}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","a":[1 2]}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","a":NaN}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","order_id":"o2"}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","order\u005fid":"o2"}`, code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","x":[{"y":{"a":1,"a":1}}]}`, code: "INVALID_JSON", field: "data"},
		{data: "{\"order_id\":\"\xff\"}", code: "INVALID_JSON", field: "data"},
		{data: `{"order_id":"o1","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, code: "INVALID_JSON", field: "data"},

		{data: `{}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.order_id"},
		{data: `{"order_id":""}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.order_id"},
		{data: `{"order_id":7}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.order_id"},
		{data: `{"order_id":"o1","email":"nobody"}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.email"},
		{data: `{"order_id":"o1","count":1.5}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.count"},
		{data: `{"order_id":"o1","count":1e30}`, code: "SCHEMA_VALIDATION_ERROR", field: "data"},
		{data: `{"order_id":"o1","to":{}}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.to.city"},
		{data: `{"order_id":"o1","stops":[{"city":"a"},{"city":""}]}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.stops.1.city"},
		{data: `{"order_id":"o1","at":"yesterday"}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.at"},
		// encoding/json takes these for the fields, which the schema would not have checked.
		{data: `{"order_id":"o1","Email":"nobody"}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.Email"},
		{data: `{"order_id":"o1","email":"a@b.example","EMAIL":"nobody"}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.EMAIL"},
		{data: `{"order_id":"o1","label\u017f":{"a":"b"}}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.labelſ"},
		{data: `{"order_id":"o1","to":{"city":"a","ZIP":"123456"}}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.to.ZIP"},
		{data: `{"order_id":"o1","stops":[{"city":"a","Zip":"123456"}]}`, code: "SCHEMA_VALIDATION_ERROR", field: "data.stops.0.Zip"},
	} {
		_, got, _, err := c.Admit("order.placed", 0, []byte(test.data))
		require.Equal(t, test.code, codeOf(err), "data %s: %v", test.data, err)
		require.Equal(t, test.want, string(got), "data %s", test.data)
		if err != nil {
			require.Equal(t, test.field, err.(*domain.Error).Field, "data %s: %v", test.data, err)
			require.Equal(t, domain.Invalid, domain.KindOf(err))
		}
	}
}

func TestAdmitNamesEveryField(t *testing.T) {
	t.Parallel()
	_, _, _, err := catalogue(t).Admit("order.placed", 0, []byte(`{"email":"nobody","to":{"zip":"123456"}}`))
	var fields *event.FieldErrors
	require.ErrorAs(t, err, &fields)
	var got []string
	for _, f := range fields.Fields {
		require.NotEmpty(t, f.Reason)
		got = append(got, f.Field)
	}
	require.ElementsMatch(t, []string{"data.order_id", "data.email", "data.to.city", "data.to.zip"}, got)
}

func TestAdmitTypesAndVersions(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for _, test := range []struct {
		typ     string
		version int
		data    string
		want    string
		code    string
	}{
		{"person.renamed", 0, `{"full_name":"a"}`, `{"full_name":"a"}`, ""},
		{"person.renamed", 3, `{"full_name":"a"}`, `{"full_name":"a"}`, ""},
		{"person.renamed", 2, `{"fullname":"a"}`, `{"full_name":"a"}`, ""},
		{"person.renamed", 1, `{"name":"a"}`, `{"full_name":"a"}`, ""},
		{"person.renamed", 1, `{"full_name":"a"}`, "", "SCHEMA_VALIDATION_ERROR"},
		{"person.renamed", 1, `{"name":""}`, "", "SCHEMA_VALIDATION_ERROR"},
		{"person.renamed", 4, `{"full_name":"a"}`, "", "UNKNOWN_SCHEMA_VERSION"},
		{"person.renamed", -1, `{"full_name":"a"}`, "", "UNKNOWN_SCHEMA_VERSION"},
		{"person.left", 0, `{}`, "", "UNKNOWN_EVENT_TYPE"},
		{"Person", 0, `{}`, "", "INVALID_EVENT_TYPE"},
		{"", 0, `{}`, "", "INVALID_EVENT_TYPE"},
	} {
		d, got, _, err := c.Admit(test.typ, test.version, []byte(test.data))
		require.Equal(t, test.code, codeOf(err), "%+v: %v", test, err)
		require.Equal(t, test.want, string(got), "%+v", test)
		if err == nil {
			require.Equal(t, 3, d.SchemaVersion(), "what is stored is current")
		}
	}
	_, _, severity, err := c.Admit("disk.failing", 0, []byte(`{"level":"high"}`))
	require.NoError(t, err)
	require.Equal(t, domain.High, severity)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	for version, data := range map[int]string{0: `{"name":"a"}`, 1: `{"name":"a"}`, 2: `{"fullname":"a"}`, 3: `{"full_name":"a"}`} {
		got, err := c.Decode(event.Envelope{Type: "person.renamed", SchemaVersion: version, Data: []byte(data)})
		require.NoError(t, err)
		require.Equal(t, renamed{"a"}, got)
	}
	_, err := c.Decode(event.Envelope{Type: "person.renamed", SchemaVersion: 4, Data: []byte(`{}`)})
	require.ErrorIs(t, err, event.ErrNewerSchema)
	_, err = c.Decode(event.Envelope{Type: "person.renamed", SchemaVersion: 1, Data: []byte(`{}`)})
	require.ErrorContains(t, err, "upcast person.renamed from version 1 to 2: there is no name")
	_, err = c.Decode(event.Envelope{Type: "person.renamed", SchemaVersion: 3, Data: []byte(`{`)})
	require.Error(t, err)
	_, err = c.Decode(event.Envelope{Type: "person.left"})
	require.Equal(t, "UNKNOWN_EVENT_TYPE", codeOf(err))
}

func TestCatalogueIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c := catalogue(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				_, _, _, err := c.Admit("order.placed", 0, []byte(`{"email":"nobody","count":1.5}`))
				if codeOf(err) != "SCHEMA_VALIDATION_ERROR" {
					t.Errorf("got %v", err)
				}
				if _, _, err := c.Encode(ordered{OrderID: "o1"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// What Admit lets in is one well-formed JSON object without doubtful keys, and both the schema and
// the struct agree to it however often it is admitted.
func FuzzAdmit(f *testing.F) {
	for _, s := range []string{
		`{"order_id":"o1"}`, ` { "order_id" : "o1" , "x" : [ { } , [ ] , null , true , -1.5e-3 , "\u00e9\ud83d\ude00" ] } `,
		`{"order_id":"o1","order_id":"o2"}`, `{"order_id":"o1","Order_ID":"o2"}`, `{"order_id":"o1","to":{"city":"x","zip":"1"}}`,
		`{"order_id":"o1"}{`, `{"a":[1,{"b":2}`, `[[[[`, `{1:2}`, `{"a" "b"}`, `{,}`, "{\"order_id\":\"\xff\"}", `{"order_id":"\ud800"}`, ``, `{"order_id":"o1"} x`,
	} {
		f.Add([]byte(s))
	}
	c := catalogue(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		before := string(data)
		_, got, _, err := c.Admit("order.placed", 0, data)
		if string(data) != before {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if domain.KindOf(err) != domain.Invalid {
				t.Errorf("got kind %s: %v", domain.KindOf(err), err)
			}
			return
		}
		if !json.Valid(data) || !json.Valid(got) {
			t.Fatalf("%q was admitted as %q", data, got)
		}
		if twice := keyTwice(t, json.NewDecoder(bytes.NewReader(data))); twice != "" {
			t.Fatalf("%q was admitted, with the key %q twice", data, twice)
		}
		_, again, _, err := c.Admit("order.placed", 0, got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q became %q the second time, %v", got, again, err)
		}
		decoded, err := c.Decode(event.Envelope{Type: "order.placed", SchemaVersion: 1, Data: got})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Encode(decoded); err != nil {
			t.Fatalf("%q passes the schema, but what it decodes to does not: %v", got, err)
		}
	})
}

// keyTwice reads a value and returns a key that one of its objects has twice.
func keyTwice(t *testing.T, dec *json.Decoder) (twice string) {
	t.Helper()
	start, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[any]bool{}
	for dec.More() && (start == json.Delim('{') || start == json.Delim('[')) {
		if start == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			if keys[key] {
				twice = fmt.Sprint(key)
			}
			keys[key] = true
		}
		twice = cmp.Or(keyTwice(t, dec), twice)
	}
	if _, opened := start.(json.Delim); opened {
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
	}
	return twice
}
