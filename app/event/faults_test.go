package event_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/domain"
)

// measured has many fields that can be wrong at once.
type measured struct {
	A string   `json:"a" jsonschema:"minLength=2"`
	B string   `json:"b" jsonschema:"minLength=2"`
	C int      `json:"c"`
	D int      `json:"d"`
	E []int    `json:"e"`
	F string   `json:"f"`
	G []string `json:"g"`
}

func (measured) EventType() string { return "thing.measured" }

// TestFaultsComeInOneOrder wants the same data to be refused with the same words every time.
func TestFaultsComeInOneOrder(t *testing.T) {
	t.Parallel()
	c, err := event.NewCatalogue(event.Definitions{event.Define[measured](event.Business)})
	require.NoError(t, err)
	var first domain.Error
	for range 50 {
		_, _, _, err := c.Admit("thing.measured", 0, []byte(`{"a":"x","b":"y","c":"z","d":"z","e":[1,"x","y"],"g":[1,2]}`))
		var fault *domain.Error
		require.ErrorAs(t, err, &fault)
		var fields *event.FieldErrors
		require.True(t, errors.As(err, &fields))
		require.Len(t, fields.Fields, 9)
		require.True(t, slices.IsSortedFunc(fields.Fields, func(a, b event.FieldError) int { return strings.Compare(a.Field, b.Field) }), "%v", fields)
		require.Equal(t, "data.a", fault.Field)
		if first.Code == "" {
			first = *fault
		}
		require.Equal(t, first, *fault)
	}
}
