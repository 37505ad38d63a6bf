package wshub_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

// A client's frame is refused with one of the known codes, or it is a subscription that selects what
// its JSON says and nothing else.
func FuzzFrame(f *testing.F) {
	for _, frame := range []string{
		`{"op":"subscribe"}`, `{"op":"subscribe","types":["build.*","a.b"],"subjects":["b1","a"],"after":7}`,
		`{"op":"subscribe","types":null,"subjects":[],"after":null}`, `{"op":"subscribe","after":-1}`, `{"op":"subscribe","after":1.0}`,
		`{"op":"subscribe","type":[]}`, `{"op":"subscribe","types":["Build"]}`, `{"op":"subscribe"}{}`, `{"op":"subscribe","op":"x"}`, `[]`, `null`,
		`{"op":"subscribe","subjects":["\ud800",""]}`, "{\"op\":\"\xff\"}", `{"op":{}}`, ``, strings.Repeat(`[`, 10_000),
	} {
		f.Add([]byte(frame))
	}
	codes := []string{"INVALID_JSON", "UNKNOWN_OP", "INVALID_FRAME", "TOO_MANY_PATTERNS", "INVALID_PATTERN", "INVALID_SUBJECT"}
	f.Fuzz(func(t *testing.T, frame []byte) {
		got, code := wshub.Parse(frame)
		if code != "" {
			require.Contains(t, codes, code)
			return
		}
		var want struct {
			Op       string
			Types    []event.Pattern
			Subjects []string
			After    *int64
		}
		require.NoError(t, json.Unmarshal(frame, &want))
		require.Equal(t, "subscribe", want.Op)
		require.ElementsMatch(t, want.Types, got.Types())
		require.ElementsMatch(t, want.Subjects, got.Subjects())
		require.Equal(t, want.After, got.After())
		for _, p := range got.Types() {
			require.NoError(t, event.CheckPattern(string(p)))
		}
		for _, subject := range append(want.Subjects, "no such subject") {
			e := ev("e", "build.started", subject)
			bySubject := len(want.Subjects) == 0 || slices.Contains(want.Subjects, subject)
			byType := len(want.Types) == 0 || slices.ContainsFunc(want.Types, func(p event.Pattern) bool { return p.Match(e.Type) })
			require.Equal(t, bySubject && byType, got.Matches(e))
		}
	})
}
