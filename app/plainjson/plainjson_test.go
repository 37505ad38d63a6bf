package plainjson_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/plainjson"
)

// read reads all of a text.
func read(text string) (value any, spaced, plain bool) {
	r := plainjson.NewReader(text)
	value, plain = r.Value()
	plain = plain && r.End()
	return value, r.Spaced(), plain
}

// others is what encoding/json makes of a text.
func others(text string) (value any, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, io.ErrUnexpectedEOF
	}
	return value, nil
}

func TestPlain(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", plainjson.MaxDepth) + strings.Repeat("]", plainjson.MaxDepth)
	for _, text := range []string{
		`{}`, `[]`, `""`, `"a"`, `0`, `-0`, `10`, `-1.50e+7`, `1E0`, `0.1`, `1e-999`, `true`, `false`, `null`, `{"":{}}`, `[[],[[]]]`, deep,
		`{"a":1,"b":[true,{"a":"x"},null],"c":"ä€😀"}`, `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800"`, `{"\u0061":1}`, "\"\u007f\u2028\"",
		" {\t\"a\" :\r[ 1 , 2 ] ,\n\"b\" : { } } ",
	} {
		got, _, plain := read(text)
		require.True(t, plain, text)
		want, err := others(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestNotPlain(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, ` `, `{`, `}`, `[`, `]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{1:1}`, `[1,]`, `[,1]`, `[1 2]`, `{"a":1 "b":2}`, `{} {}`, `{}x`,
		`"`, `"a`, `"\"`, `"\x"`, `"\u00g0"`, "\"\n\"", "\"\x00\"", "\"\xff\"", "\"\xed\xa0\x80\"", "{\"\xff\":1}", "\xef\xbb\xbf{}", "\u00a0{}",
		`01`, `-`, `+1`, `1.`, `.1`, `1e`, `1e+`, `0x1`, `NaN`, `--1`, `tru`, `True`, `nul`, `truefalse`, `'a'`, `// {}`,
		strings.Repeat("[", plainjson.MaxDepth+1) + strings.Repeat("]", plainjson.MaxDepth+1), strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<20),
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"x":[{"a":1,"b":2,"a":3}]}`,
	} {
		_, _, plain := read(text)
		require.False(t, plain, "%.100s", text)
	}
}

func TestSpaced(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a b":[1,"c d"]}`: false, `{"a": 1}`: true, `{"a":1 }`: true, `[1, 2]`: true, " 1": true, "1\n": true, `{ }`: true,
	} {
		_, got, plain := read(text)
		require.True(t, plain, text)
		require.Equal(t, want, got, text)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`{"a":[1,{"b":"}]\""}],"c":{}}`, `[]`, `"x"`, `-1.5`, `true`, `false`, `null`, `{"a":1,"a":2}`} {
		text := ` { "first" : ` + value + ` , "second":2}`
		r := plainjson.NewReader(text)
		got := map[string]string{}
		require.True(t, r.Object(func(key string) bool {
			from, to, ok := r.Skip()
			got[key] = text[from:to]
			return ok
		}), text)
		require.True(t, r.End(), text)
		require.Equal(t, map[string]string{"first": value, "second": "2"}, got)
	}
	for _, value := range []string{`{"a":[1,}`, `[1`, `"`, `-`, `tru`, `fals`, `nul`, `}`, ``} {
		r := plainjson.NewReader(value)
		_, _, ok := r.Skip()
		require.False(t, ok && r.End(), value)
	}
}

// What is found to be plain is what encoding/json reads, and no more than it reads.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[true,{"a":"x\u00e9\ud83d\ude00"},null,-1.5e-3],"c":" "}`, " [ ] ", `{"a":1,"a":2}`, "\"\xff\"", `{"a":[{},[]],"\u0061":0}`, `01`, `"\ud800"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		got, spaced, plain := read(text)
		skipping := plainjson.NewReader(text)
		from, to, skipped := skipping.Skip()
		skipped = skipped && skipping.End()
		if plain && !skipped {
			t.Fatalf("%q is plain and is not when it is skipped", text)
		}
		if skipped && (!json.Valid(data) || strings.Trim(text, " \t\r\n") != text[from:to]) {
			t.Fatalf("%q: skipped %q", text, text[from:to])
		}
		if !plain {
			return
		}
		want, err := others(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, data))
		require.Equal(t, compact.String() != text, spaced)
	})
}
