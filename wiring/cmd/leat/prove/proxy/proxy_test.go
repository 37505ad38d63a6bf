package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leat-dev/leat/wiring/cmd/leat/prove/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that answers each line with the same line in capitals.
func echo(t *testing.T) (address string, lost <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	ends := make(chan error, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				lines := bufio.NewReader(c)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						_ = c.Close()
						ends <- err
						return
					}
					_, _ = io.WriteString(c, strings.ToUpper(line))
				}
			}()
		}
	}()
	return l.Addr().String(), ends
}

type client struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func start(t *testing.T) (*proxy.Proxy, func() *client, <-chan error) {
	t.Helper()
	address, lost := echo(t)
	p, err := proxy.Start(address)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, func() *client {
		c, err := net.Dial("tcp", p.Address())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return &client{t, c, bufio.NewReader(c)}
	}, lost
}

func (c *client) say(line string) {
	c.t.Helper()
	_, err := io.WriteString(c, line+"\n")
	require.NoError(c.t, err)
}

func (c *client) hears(want string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	got, err := c.lines.ReadString('\n')
	require.NoError(c.t, err)
	require.Equal(c.t, want+"\n", got)
}

func (c *client) hearsNothing(within time.Duration) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(within)))
	_, err := c.lines.ReadString('\n')
	require.ErrorIs(c.t, err, os.ErrDeadlineExceeded)
}

func (c *client) isLost() {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := c.lines.ReadString('\n')
	require.Error(c.t, err)
	require.False(c.t, errors.Is(err, os.ErrDeadlineExceeded), err)
}

func TestWhatPasses(t *testing.T) {
	t.Parallel()
	_, dial, lost := start(t)
	c := dial()
	c.say("a")
	c.hears("A")
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-lost, io.EOF)
}

func TestCut(t *testing.T) {
	t.Parallel()
	p, dial, lost := start(t)
	c := dial()
	c.say("a")
	c.hears("A")
	p.Set(proxy.Condition{Refuse: true})
	p.Cut()
	c.isLost()
	require.Error(t, <-lost)
	if refused, err := net.Dial("tcp", p.Address()); err == nil { // else it was reset already
		(&client{t, refused, bufio.NewReader(refused)}).isLost()
	}
	p.Set(proxy.Condition{})
	c = dial()
	c.say("b")
	c.hears("B")
}

func TestSilent(t *testing.T) {
	t.Parallel()
	p, dial, _ := start(t)
	before := dial()
	before.say("a")
	before.hears("A")
	p.Set(proxy.Condition{Silent: true})
	after := dial()
	before.say("b")
	after.say("c")
	before.hearsNothing(50 * time.Millisecond)
	after.hearsNothing(time.Millisecond)
	p.Set(proxy.Condition{})
	before.hears("B")
	after.hears("C")
}

func TestOrphan(t *testing.T) {
	t.Parallel()
	p, dial, lost := start(t)
	c := dial()
	c.say("a")
	c.hears("A")
	p.Orphan()
	require.Error(t, <-lost)
	c.say("b")
	c.hearsNothing(50 * time.Millisecond)
	c.say("c")
	c = dial()
	c.say("d")
	c.hears("D")
}

func TestSlow(t *testing.T) {
	t.Parallel()
	p, dial, _ := start(t)
	c := dial()
	p.Set(proxy.Condition{Delay: 50 * time.Millisecond})
	began := time.Now()
	c.say("a")
	c.hears("A")
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond, "there and back")
	p.Set(proxy.Condition{Trickle: true})
	began = time.Now()
	c.say("")
	c.hears("")
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second, "there and back")
	c.say("the rest comes at once when it is over")
	p.Set(proxy.Condition{})
	c.hears("THE REST COMES AT ONCE WHEN IT IS OVER")
}

func TestTrap(t *testing.T) {
	t.Parallel()
	p, dial, lost := start(t)
	p.Arm(1, proxy.Trap{Request: "commit", Answer: "COMMIT"})
	c, other := dial(), dial()
	other.say("a")
	other.hears("A")
	c.say("b")
	c.hears("B")
	require.Zero(t, p.Sprung())
	c.say("commit")
	c.isLost()
	require.Error(t, <-lost, "the server had the request")
	require.Equal(t, 1, p.Sprung())
	other.say("commit")
	other.hears("COMMIT")
}
