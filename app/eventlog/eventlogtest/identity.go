package eventlogtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// identity is a UUID that stays. That no other log has it is shown where logs are made.
func identity(t *testing.T, f *fixture) {
	ctx := ctxOf(t)
	id, err := f.Identity(ctx)
	require.NoError(t, err)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	again, err := f.Identity(ctx)
	require.NoError(t, err)
	require.Equal(t, id, again)
}
