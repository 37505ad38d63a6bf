package wshub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/wshub"
	"github.com/leat-dev/leat/app/event"
)

func TestLive(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	b.feed.append(ev("old", "build.started", "b1"))
	c := dial(t, b, "acme")
	require.Equal(t, "leat.v1", c.Subprotocol())
	c.want("hello 1")
	b.push(t, ev("unheard", "build.started", "b1"))
	c.say(`{"op":"subscribe","types":["build.*"]}`)
	c.want("position 2")
	b.push(t, ev("a", "build.started", "b1"), ev("b", "project.created", "p1"), ev("c", "build.step.done", "b2"))
	c.want("event 3 a", "event 5 c")
}

func TestFrames(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	hello, err := c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"hello","position":0}`, hello.text)
	c.say(`{"op":"subscribe"}`)
	position, err := c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"position","position":0}`, position.text)

	e := ev("a", "build.started", "b1")
	e.Data = []byte(`{"n":1}`)
	const body = `{"specversion":"1.0","id":"a","type":"build.started","source":"test","subject":"b1","time":"2026-01-02T03:04:05Z",` +
		`"datacontenttype":"application/json","tenantid":"acme","correlationid":"a","partitionkey":"b1","schemaversion":1,"kind":"business","data":{"n":1}}`
	b.push(t, e)
	got, err := c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"event","position":1,"event":`+body+`}`, got.text)

	e.ID, e.CorrelationID = "f", "a"
	require.NoError(t, b.hub.Push(t.Context(), e))
	got, err = c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"event","event":{"specversion":"1.0","id":"f"`+body[len(`{"specversion":"1.0","id":"a"`):]+`}`, got.text)

	c.say(`{"op":"dance"}`)
	got, err = c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"error","code":"UNKNOWN_OP","message":"there is no op \"dance\"; want \"subscribe\""}`, got.text)
	b.feed.set(func() { b.feed.first = 2 })
	b.feed.append(ev("g", "build.started", "b1"))
	c.say(`{"op":"subscribe","after":0}`)
	got, err = c.next()
	require.NoError(t, err)
	require.Equal(t, `{"op":"gap","from":1,"to":1}`, got.text)
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	events := []event.Envelope{
		ev("1", "build.started", "b1"), ev("2", "build.started", "b2"), ev("3", "project.created", "p1"),
		ev("4", "build.step.done", "b1"), ev("5", "member.invited", ""),
	}
	for name, test := range map[string]struct {
		frame string
		want  []string
	}{
		"everything":        {`{"op":"subscribe"}`, []string{"1", "2", "3", "4", "5"}},
		"empty lists":       {`{"op":"subscribe","types":[],"subjects":[]}`, []string{"1", "2", "3", "4", "5"}},
		"a star":            {`{"op":"subscribe","types":["*"]}`, []string{"1", "2", "3", "4", "5"}},
		"a type":            {`{"op":"subscribe","types":["build.started"]}`, []string{"1", "2"}},
		"types":             {`{"op":"subscribe","types":["project.created","build.step.*"]}`, []string{"3", "4"}},
		"a subject":         {`{"op":"subscribe","subjects":["b1"]}`, []string{"1", "4"}},
		"subjects":          {`{"op":"subscribe","subjects":["p1","b2"]}`, []string{"2", "3"}},
		"types and subject": {`{"op":"subscribe","types":["build.started"],"subjects":["b1"]}`, []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, wshub.Config{})
			c := dial(t, b, "acme")
			c.say(test.frame)
			c.want("hello 0", "position 0")
			b.push(t, events...)
			for _, id := range test.want {
				c.want(fmt.Sprintf("event %s %s", id, id))
			}
			c.say(`{"op":"subscribe"}`)
			c.want("position 5") // nothing came in between
		})
	}
}

func TestSecondSubscribeReplacesTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","types":["build.*"]}`)
	c.want("hello 0", "position 0")
	b.push(t, ev("a", "build.started", "b1"), ev("b", "project.created", "p1"))
	c.want("event 1 a")
	c.say(`{"op":"subscribe","types":["project.*"]}`)
	c.want("position 2")
	b.push(t, ev("c", "build.started", "b1"), ev("d", "project.created", "p1"))
	c.want("event 4 d")

	// One that is refused leaves the last one in place.
	c.say(`{"op":"subscribe","types":["Build"]}`)
	c.want("error INVALID_PATTERN")
	b.push(t, ev("e", "project.created", "p1"))
	c.want("event 5 e")
}

func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	acme, globex := dial(t, b, "acme"), dial(t, b, "globex")
	b.feed.append(ev("a", "build.started", "b1"), of("globex", ev("b", "build.started", "b1")))
	for _, c := range []*client{acme, globex} {
		c.say(`{"op":"subscribe","after":0}`)
	}
	acme.want("hello 0", "event 1 a", "position 2")
	globex.want("hello 0", "event 2 b", "position 2")
	b.push(t, of("globex", ev("c", "build.started", "b1")), ev("d", "build.started", "b1"), of("_system", ev("e", "build.started", "b1")))
	fast := of("globex", ev("fast", "build.started", "b1"))
	require.NoError(t, b.hub.Push(t.Context(), fast))
	acme.want("event 4 d")
	globex.want("event 3 c", "event 0 fast")
	b.push(t, fast) // the same id in another tenant is another event
	b.push(t, ev("fast", "build.started", "b1"))
	acme.want("event 7 fast")
	globex.say(`{"op":"subscribe"}`)
	globex.want("position 7")
}

func TestFastPath(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c, late := dial(t, b, "acme"), dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	late.want("hello 0")

	fast := ev("fast", "build.progressed", "b1")
	for range 3 { // in process and over the network
		require.NoError(t, b.hub.Push(t.Context(), fast))
	}
	c.want("event 0 fast")
	late.say(`{"op":"subscribe"}`)
	late.want("position 0")
	b.push(t, ev("a", "build.started", "b1"), fast, ev("b", "build.started", "b1"))
	require.NoError(t, b.hub.Push(t.Context(), fast), "the slow network")
	require.NoError(t, b.hub.Push(t.Context(), ev("b", "build.started", "b1")), "later than its position")
	b.push(t, ev("c", "build.started", "b1"))
	c.want("event 1 a", "event 3 b", "event 4 c")
	late.want("event 1 a", "event 2 fast", "event 3 b", "event 4 c")

	// What it has by the fast path is not sent again from the log, unless the client goes back.
	require.NoError(t, b.hub.Push(t.Context(), ev("d", "build.progressed", "b1")))
	c.want("event 0 d")
	b.feed.append(ev("d", "build.progressed", "b1"), ev("e", "build.started", "b1"))
	c.say(`{"op":"subscribe","after":4}`)
	c.want("event 6 e", "position 6")
	require.NoError(t, b.hub.Push(t.Context(), ev("e", "build.started", "b1")), "a fast frame after the log was read")
	c.say(`{"op":"subscribe","after":4}`)
	c.want("event 5 d", "event 6 e", "position 6")
}

func TestUnrecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	lost := ev("lost", "build.progressed", "b1")
	lost.Unrecorded = true
	for range 2 { // its publisher tries again while the log is down
		require.NoError(t, b.hub.Push(t.Context(), lost))
	}
	got, err := c.next()
	require.NoError(t, err)
	require.Contains(t, got.text, `{"op":"event","unrecorded":true,"event":{"specversion":"1.0","id":"lost"`)

	// The log takes it after all: whoever has it gets it no more, others do.
	late := dial(t, b, "acme")
	late.say(`{"op":"subscribe"}`)
	late.want("hello 0", "position 0")
	recorded := ev("lost", "build.progressed", "b1")
	require.NoError(t, b.hub.Push(t.Context(), recorded))
	b.push(t, recorded, ev("a", "build.started", "b1"))
	c.want("event 2 a")
	late.want("event 1 lost", "event 2 a")
}

// With more fast frames on their way than a connection can keep in mind, the rest waits for the reliable path.
func TestMoreFastFramesThanCanBeRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	const remembered, n = 4096, 5000
	events := make([]event.Envelope, n)
	for i := range events {
		events[i] = ev(fmt.Sprint("e", i), "build.progressed", "b1")
		require.NoError(t, b.hub.Push(t.Context(), events[i]))
		if i < remembered {
			c.want(fmt.Sprintf("event 0 e%d", i))
		}
	}
	for i := range events {
		b.push(t, events[i])
		if i >= remembered {
			c.want(fmt.Sprintf("event %d e%d", i+1, i))
		}
	}
	b.push(t, ev("last", "build.started", "b1"))
	c.want(fmt.Sprintf("event %d last", n+1))
}

// A subscription that no longer wants an event does not keep it in mind.
func TestFastFramesAreForgottenWithTheirPosition(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","types":["build.*"]}`)
	c.want("hello 0", "position 0")
	fast := ev("fast", "build.progressed", "b1")
	require.NoError(t, b.hub.Push(t.Context(), fast))
	c.want("event 0 fast")
	c.say(`{"op":"subscribe","types":["project.*"]}`)
	c.want("position 0")
	b.push(t, fast)
	c.say(`{"op":"subscribe","after":0}`)
	c.want("event 1 fast", "position 1") // it asked for what it had
}

func TestRepeatsGoNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	b.push(t, ev("a", "build.started", "b1"), ev("b", "build.started", "b1"))
	for _, e := range b.feed.events {
		require.NoError(t, b.hub.Push(t.Context(), e))
	}
	b.push(t, ev("c", "build.started", "b1"))
	c.want("event 1 a", "event 2 b", "event 3 c")
}

func TestPositionFrames(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe","types":["build.*"]}`)
	c.want("hello 0", "position 0")
	require.NoError(t, b.clock.BlockUntilContext(t.Context(), 1))
	b.push(t, ev("a", "project.created", "p1"), of("globex", ev("b", "build.started", "b1")))
	b.clock.Advance(time.Second)
	c.want("position 2")
	b.clock.Advance(time.Second) // nothing new to say
	b.push(t, ev("c", "build.started", "b1"))
	c.want("event 3 c")
	b.clock.Advance(time.Second) // the event has said it
	b.push(t, ev("d", "project.created", "p1"))
	b.clock.Advance(time.Second)
	c.want("position 4")
}

func TestUnencodableEventIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c := dial(t, b, "acme")
	c.say(`{"op":"subscribe"}`)
	c.want("hello 0", "position 0")
	bad := ev("bad", "build.started", "b1")
	bad.Data = []byte(`{`)
	require.Error(t, b.hub.Push(t.Context(), bad))
	b.push(t, ev("a", "build.started", "b1"))
	c.want("event 1 a")
}

func TestObserver(t *testing.T) {
	t.Parallel()
	b := setup(t, wshub.Config{})
	c, d := dial(t, b, "acme"), dial(t, b, "globex")
	c.want("hello 0")
	d.want("hello 0")
	b.push(t, ev("a", "build.started", "b1"))
	clients, dropped, broadcasts := b.counts.get()
	require.Equal(t, []int{2, 0, 1}, []int{clients, dropped, broadcasts})
	require.NoError(t, d.Close())
	require.Eventually(t, func() bool { clients, _, _ := b.counts.get(); return clients == 1 }, 10*time.Second, time.Millisecond)
}
