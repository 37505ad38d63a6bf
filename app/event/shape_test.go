package event_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
)

// shaped has of everything that a shape can say.
type shaped struct {
	Name    string             `json:"name" jsonschema:"minLength=2,maxLength=4"`
	Mail    string             `json:"mail,omitempty" jsonschema:"format=email"`
	At      time.Time          `json:"at"`
	N       int                `json:"n"`
	F       float64            `json:"f,omitempty"`
	Yes     bool               `json:"yes,omitempty"`
	Stops   []shapedStop       `json:"stops,omitempty"`
	Notes   map[string]string  `json:"notes,omitempty"`
	Any     any                `json:"any,omitempty"`
	Deeper  *shapedStop        `json:"deeper,omitempty"`
	Numbers map[string][]uint8 `json:"numbers,omitempty"`
}

type shapedStop struct {
	City string `json:"city"`
}

func TestShape(t *testing.T) {
	t.Parallel()
	for data, fits := range map[string]bool{
		`{"name":"äöüß","at":"2025-05-20T12:00:00Z","n":-1}`: true,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":0,"x":[1,null],"any":{"N":1},"stops":[{"city":"x","y":1}],"notes":{"a":"b","NAME":"c"},"f":1.5e3}`: true,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1.5}`:                        false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1.0}`:                        false, // the schema says yes
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":"1"}`:                        false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":null}`:                       false,
		`{"name":"ab","at":"yesterday","n":1}`:                                     false,
		`{"name":"a","at":"2025-05-20T12:00:00Z","n":1}`:                           false,
		`{"name":"abcde","at":"2025-05-20T12:00:00Z","n":1}`:                       false,
		`{"name":"ab","n":1}`:                                                      false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"NAME":"x"}`:               false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"mail":"nobody"}`:          false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"yes":"yes"}`:              false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"stops":{}}`:               false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"stops":[{"city":"x"},7]}`: false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"stops":[{"City":"x"}]}`:   false,
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"notes":{"a":1}}`:          false,
		`[]`: false, `null`: false, `"x"`: false, `true`: false, `1`: false,
	} {
		var value any
		dec := json.NewDecoder(strings.NewReader(data))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&value))
		known, got, _, err := event.Shape(reflect.TypeFor[shaped](), value)
		require.NoError(t, err)
		require.True(t, known)
		require.Equal(t, fits, got, data)
	}
}

// What a shape cannot say is left to the schema.
func TestNoShape(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{
		reflect.TypeFor[struct {
			A int `json:"a" jsonschema:"minimum=1"`
		}](),
		reflect.TypeFor[struct {
			A string `json:"a" jsonschema:"enum=x,enum=y"`
		}](),
		reflect.TypeFor[struct {
			A []struct {
				B string `json:"b" jsonschema:"pattern=^x$"`
			} `json:"a"`
		}](),
		reflect.TypeFor[struct {
			A [2]int `json:"a"`
		}](),
	} {
		known, _, _, err := event.Shape(typ, nil)
		require.NoError(t, err)
		require.False(t, known, "%v", typ)
	}
}

// Data that fits a shape fits the schema, and has no doubtful keys.
func FuzzShape(f *testing.F) {
	for _, seed := range []string{
		`{"name":"ab","at":"2025-05-20T12:00:00Z","n":1,"mail":"a@b.de","f":1.5,"yes":true,"stops":[{"city":"x"}],"notes":{"a":"b"},"any":[{}],"deeper":{"city":""},"numbers":{"a":"AQ=="}}`,
		`{"name":"abcde","at":"2025-05-20","n":-0,"Yes":null,"stops":[{"CITY":1}],"numbers":{"a":[1]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value any
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if dec.Decode(&value) != nil {
			return
		}
		_, fits, schema, err := event.Shape(reflect.TypeFor[shaped](), value)
		require.NoError(t, err)
		if fits {
			require.NoError(t, schema)
		}
	})
}
