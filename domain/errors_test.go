package domain_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/domain"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"message", domain.Errorf(domain.Conflict, "X", "no %s", "way"), "no way"},
		{"field", domain.Errorf(domain.Invalid, "X", "too long").InField("data.name"), "data.name: too long"},
		{"cause in the message", domain.Errorf(domain.Unavailable, "X", "read it: %w", io.EOF), "read it: EOF"},
		{"cause beside the message", &domain.Error{Message: "read it", Err: io.EOF}, "read it: EOF"},
		{"all", &domain.Error{Message: "read it", Field: "data", Err: io.EOF}, "data: read it: EOF"},
	} {
		require.EqualError(t, tc.err, tc.want, tc.name)
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	inner := domain.Errorf(domain.NotFound, "INNER", "inner: %w", io.EOF)
	outer := domain.Errorf(domain.Unavailable, "OUTER", "outer: %w", inner)
	require.ErrorIs(t, outer, io.EOF)

	var found *domain.Error
	require.ErrorAs(t, outer, &found)
	require.Equal(t, "OUTER", found.Code, "the outermost one speaks")
	require.ErrorAs(t, errors.Unwrap(outer), &found)
	require.Equal(t, "INNER", found.Code)
}

func TestInFieldIsACopy(t *testing.T) {
	t.Parallel()
	plain := domain.Errorf(domain.Invalid, "X", "bad")
	named := plain.InField("name")
	require.Empty(t, plain.Field)
	require.Equal(t, "name", named.Field)
	require.Equal(t, plain.Code, named.Code)
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	conflict := domain.Errorf(domain.Conflict, "X", "no")
	for _, tc := range []struct {
		err  error
		want domain.Kind
	}{
		{nil, ""},
		{io.EOF, domain.Internal},
		{conflict, domain.Conflict},
		{fmt.Errorf("save: %w", conflict), domain.Conflict},
		{errors.Join(io.EOF, conflict), domain.Conflict},
	} {
		require.Equal(t, tc.want, domain.KindOf(tc.err), "%v", tc.err)
	}
}
