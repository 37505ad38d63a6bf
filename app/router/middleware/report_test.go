package middleware_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/router/middleware"
)

func TestReport(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		record bool
		err    error
		want   string
	}{
		"unsettled":        {true, errTest, `msg="an event is not settled and comes again" event=e1 type=thing.made tenant=t error="no luck"`},
		"without a record": {false, errTest, `msg="an event was not handled and does not come again" event=e1 type=thing.made tenant=t error="no luck"`},
		"handled":          {true, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, handler.On(nothing))
			m := event.ToMessage(anEvent)
			if test.record {
				m = b.m
			}
			_, err := middleware.Correlate()(middleware.Report(b.logger)(fails(test.err)))(m)
			require.Equal(t, test.err, err)
			if test.want == "" {
				require.Empty(t, b.logs.String())
			}
			require.Contains(t, b.logs.String(), test.want)
		})
	}
}

var _ message.HandlerMiddleware = middleware.Report(nil)
