package middleware_test

import (
	"runtime"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/app/router/middleware"
)

func TestRecover(t *testing.T) {
	t.Parallel()
	out, err := middleware.Recover()(func(*message.Message) ([]*message.Message, error) { panic("boom") })(message.NewMessage("1", nil))
	require.Nil(t, out)
	var p *middleware.PanicError
	require.ErrorAs(t, err, &p)
	require.Equal(t, "panic: boom", err.Error())
	require.Equal(t, "boom", p.Value)
	require.Contains(t, string(p.Stack), "recover_test.go")

	m := message.NewMessage("1", nil)
	_, err = middleware.Recover()(fails(errTest))(m)
	require.Equal(t, errTest, err)
	select {
	case <-m.Nacked():
		t.Fatal("an error is for the links outside to judge")
	default:
	}
}

// Without an answer the lane would wait for ever.
func TestRecoverGoexit(t *testing.T) {
	t.Parallel()
	m := message.NewMessage("1", nil)
	go func() {
		_, _ = middleware.Recover()(func(*message.Message) ([]*message.Message, error) {
			runtime.Goexit()
			return nil, nil
		})(m)
	}()
	<-m.Nacked()
}
