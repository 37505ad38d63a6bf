package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

func TestCheckType(t *testing.T) {
	t.Parallel()
	long := "a." + strings.Repeat("b", event.MaxType-2)
	for name, good := range map[string]bool{
		"build.started": true, "a.b": true, "a.b.c.d": true, "build_job.v2_started": true, long: true,
		"": false, "build": false, ".": false, "build.": false, ".started": false, "build..started": false,
		"Build.started": false, "build.Started": false, "2build.started": false, "build._started": false, "build.2": false,
		"build-job.started": false, "build.started ": false, " build.started": false, "build.*": false, "bäu.started": false,
		"build.started\n": false, "build.\xff": false, long + "b": false, strings.Repeat("ä", 200): false,
	} {
		err := event.CheckType(name)
		require.Equal(t, good, err == nil, "%q: got error %v", name, err)
	}
}

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	for pattern, good := range map[string]bool{
		"*": true, "build.*": true, "*.started": true, "build.*.done": true, "*.*": true, "build.started": true, "build": true,
		"": false, ".": false, "build.": false, "build.**": false, "build*": false, "Build.*": false, "build.>": false,
		"build.*" + " ": false, strings.Repeat("a", event.MaxType+1): false,
	} {
		err := event.CheckPattern(pattern)
		require.Equal(t, good, err == nil, "%q: got error %v", pattern, err)
	}
}

func TestPatternMatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern event.Pattern
		typ     string
		want    bool
	}{
		{"*", "build.started", true},
		{"*", "a.b.c.d", true},
		{"build.started", "build.started", true},
		{"build.started", "build.started.late", false},
		{"build.started", "build", false},
		{"build.start", "build.started", false},
		{"build.*", "build.started", true},
		{"build.*", "build.step.done", true},
		{"build.*", "builds.started", false},
		{"build.*", "build", false},
		{"*.started", "build.started", true},
		{"*.started", "build.step.started", false},
		{"build.*.done", "build.step.done", true},
		{"build.*.done", "build.done", false},
		{"build.*.done", "build.step.sub.done", false},
		{"*.*", "build.started", true},
		{"*.*", "build.step.done", true},
		{"build", "build.started", false},
	} {
		require.Equal(t, test.want, test.pattern.Match(test.typ), "%q on %q", test.pattern, test.typ)
	}
}

// matchBySegments is the rule in its plainest form.
func matchBySegments(pattern, typ string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(typ, ".")
	last := len(p) - 1
	if p[last] == "*" && len(s) > len(p) {
		s = s[:len(p)]
	}
	if len(p) != len(s) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return true
}

func TestPatternMatchFollowsTheRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 2, 4)
		stars := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "*"}), 1, 4)
		typ := strings.Join(segments.Draw(t, "type"), ".")
		pattern := strings.Join(stars.Draw(t, "pattern"), ".")
		if err := event.CheckPattern(pattern); err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		if got, want := event.Pattern(pattern).Match(typ), matchBySegments(pattern, typ); got != want {
			t.Fatalf("%q on %q: got %v, want %v", pattern, typ, got, want)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"build.started", "build.*", "*", "", ".", "a..b", "A.b", "a.b\n", strings.Repeat("a.", 70)} {
		f.Add(s, "build.started")
	}
	f.Fuzz(func(t *testing.T, s, typ string) {
		typeErr, patternErr := event.CheckType(s), event.CheckPattern(s)
		if typeErr == nil && patternErr != nil {
			t.Errorf("%q is a type and no pattern: %v", s, patternErr)
		}
		if typeErr == nil && !event.Pattern(s).Match(s) {
			t.Errorf("%q does not match itself", s)
		}
		got := event.Pattern(s).Match(typ)
		if patternErr == nil && event.CheckType(typ) == nil && got != matchBySegments(s, typ) {
			t.Errorf("%q on %q: got %v", s, typ, got)
		}
		if event.CheckTenant(s) == nil && strings.ContainsAny(s, " .*>\x00\r\n") {
			t.Errorf("%q passes for a tenant", s)
		}
	})
}

func TestCheckTenant(t *testing.T) {
	t.Parallel()
	for tenant, code := range map[string]string{
		"acme": "", "A-b_9": "", event.SystemTenant: "", strings.Repeat("x", event.MaxTenant): "",
		"": "TENANT_MISSING", "a.b": "INVALID_TENANT", "a b": "INVALID_TENANT", "a*": "INVALID_TENANT", "ä": "INVALID_TENANT",
		strings.Repeat("x", event.MaxTenant+1): "ATTRIBUTE_TOO_LONG",
	} {
		require.Equal(t, code, codeOf(event.CheckTenant(tenant)), "tenant %q", tenant)
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := err.(*domain.Error); ok {
		return e.Code
	}
	return "not a domain error: " + err.Error()
}

func sound() event.Envelope {
	return event.Envelope{
		ID: "e1", Type: "build.started", SchemaVersion: 1, Kind: event.Business, Source: "leat", Tenant: "acme",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), PartitionKey: "b1", Subject: "b1", Data: []byte(`{}`),
	}
}

func TestCheckAttributes(t *testing.T) {
	t.Parallel()
	require.Empty(t, sound().CheckAttributes())
	x := func(n int) string { return strings.Repeat("x", n) }
	for name, test := range map[string]struct {
		change func(e *event.Envelope)
		want   string // field and code; "" for no fault
	}{
		"all at their limits": {func(e *event.Envelope) {
			e.ID, e.Source, e.Subject, e.PartitionKey = x(event.MaxID), x(event.MaxSource), x(event.MaxSubject), x(event.MaxKey)
			e.Actor, e.CorrelationID, e.CausationID, e.Data = x(event.MaxActor), x(event.MaxID), x(event.MaxID), []byte(x(event.MaxData))
		}, ""},
		"umlauts and spaces inside": {func(e *event.Envelope) { e.Subject = "größe 7" }, ""},
		"no id":                     {func(e *event.Envelope) { e.ID = "" }, "id INVALID_ATTRIBUTE"},
		"no source":                 {func(e *event.Envelope) { e.Source = "" }, "source INVALID_ATTRIBUTE"},
		"no tenant":                 {func(e *event.Envelope) { e.Tenant = "" }, "tenant TENANT_MISSING"},
		"long id":                   {func(e *event.Envelope) { e.ID = x(event.MaxID + 1) }, "id ATTRIBUTE_TOO_LONG"},
		"long key":                  {func(e *event.Envelope) { e.PartitionKey = x(event.MaxKey + 1) }, "partitionKey ATTRIBUTE_TOO_LONG"},
		"line end":                  {func(e *event.Envelope) { e.Subject = "a\r\nNats-Msg-Id: 1" }, "subject INVALID_ATTRIBUTE"},
		"zero byte":                 {func(e *event.Envelope) { e.Actor = "a\x00" }, "actor INVALID_ATTRIBUTE"},
		"broken UTF-8":              {func(e *event.Envelope) { e.CorrelationID = "\xff" }, "metadata.correlationId INVALID_ATTRIBUTE"},
		"space in front":            {func(e *event.Envelope) { e.ID = " e1" }, "id INVALID_ATTRIBUTE"},
		"space behind":              {func(e *event.Envelope) { e.Source = "leat " }, "source INVALID_ATTRIBUTE"},
		"line end in the trace":     {func(e *event.Envelope) { e.TraceParent = "00-1\n" }, "traceparent INVALID_ATTRIBUTE"},
		"long trace":                {func(e *event.Envelope) { e.TraceParent = x(event.MaxTraceParent + 1) }, "traceparent ATTRIBUTE_TOO_LONG"},
		"far future":                {func(e *event.Envelope) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "timestamp INVALID_ATTRIBUTE"},
		"before the year 1":         {func(e *event.Envelope) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }, "timestamp INVALID_ATTRIBUTE"},
		"too much data":             {func(e *event.Envelope) { e.Data = make([]byte, event.MaxData+1) }, "data EVENT_TOO_LARGE"},
	} {
		e := sound()
		test.change(&e)
		var got []string
		for _, err := range e.CheckAttributes() {
			fault, ok := err.(*domain.Error)
			require.True(t, ok, "%s: %T", name, err)
			got = append(got, fault.Field+" "+fault.Code)
		}
		require.Equal(t, test.want, strings.Join(got, ", "), name)
	}

	all := event.Envelope{}.CheckAttributes()
	require.Len(t, all, 3, "every fault is reported: %v", all)
}
