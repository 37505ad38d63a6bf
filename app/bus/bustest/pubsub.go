package bustest

import (
	"os"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
)

// FullVariable makes, when set, Watermill's tests send as many messages as they do by default, thousands: that
// takes minutes for each bus, and on a machine that is busy longer than their patience.
const FullVariable = "LEAT_TEST_PUBSUB_FULL"

// PubSubTest is one of Watermill's own tests of publishers and subscribers, those of its package
// pubsub/tests.
type PubSubTest struct {
	Name string
	// Left is why it is not run; "" when it is.
	Left string

	run func(t *testing.T, c tests.TestContext, of tests.PubSubConstructor)
	own bool // each subscriber has a set of its own, which begins at the start of the log
}

// PubSubTests returns all of them.
func PubSubTests() []PubSubTest {
	return []PubSubTest{
		{Name: "TestPublishSubscribe", run: tests.TestPublishSubscribe},
		{Name: "TestConcurrentSubscribe", run: tests.TestConcurrentSubscribe},
		{Name: "TestConcurrentSubscribeMultipleTopics", run: tests.TestConcurrentSubscribeMultipleTopics},
		{Name: "TestResendOnError", run: tests.TestResendOnError},
		{Name: "TestNoAck", run: tests.TestNoAck},
		{Name: "TestContinueAfterSubscribeClose", run: tests.TestContinueAfterSubscribeClose},
		{Name: "TestConcurrentClose", run: tests.TestConcurrentClose},
		{Name: "TestContinueAfterErrors", run: tests.TestContinueAfterErrors},
		{Name: "TestPublishSubscribeInOrder", run: tests.TestPublishSubscribeInOrder},
		{Name: "TestPublisherClose", run: tests.TestPublisherClose},
		{Name: "TestTopic", run: tests.TestTopic},
		{Name: "TestMessageCtx", run: tests.TestMessageCtx},
		{Name: "TestSubscribeCtx", run: tests.TestSubscribeCtx},
		{Name: "TestNewSubscriberReceivesOldMessages", run: tests.TestNewSubscriberReceivesOldMessages, own: true},
		{Name: "TestConsumerGroups"}, // has a constructor of another kind
		{
			Name: "TestReconnect",
			Left: "it restarts the broker by a shell command while a client publishes to it, and publishing here does not reach the broker: " +
				"a broker that is killed, restarted and wiped is a matter of the tests of `natsbus` and of the program",
		},
		{Name: "TestPubSubStressTest", Left: "it is all of these tests ten times side by side, which measures the machine"},
		{Name: "BenchSubscriber", Left: "it is a benchmark of a publisher without a log; ours measure the way through the log"},
	}
}

// features says what Watermill's tests may expect of every bus. What a message is to them, an event is here: it is
// in the log before Publish returns, and a handler set gets it.
func (env Env) features() tests.Features {
	return tests.Features{
		ConsumerGroups:      true,  // handler sets
		ExactlyOnceDelivery: false, // effects of OnTx are made once; deliveries may repeat
		GuaranteedOrder:     true,  // of a key, and a message's key is its topic and payload here
		Persistent:          true,  // over every bus: what is kept is the log
		// A set that begins at the start of the log sees all of it; the test that asks for that gets such sets.
		NewSubscriberReceivesOldMessages: true,
		RequireSingleInstance:            !env.Several,
		ForceShort:                       os.Getenv(FullVariable) == "",
	}
}

// RunPubSub runs those of Watermill's tests that fit a log of defined events. A message becomes the data of
// an event, a topic its subject, a subscriber a process with a handler set that hands out the messages of
// the topic: a nack is a failed attempt.
func RunPubSub(t *testing.T, env Env) {
	for _, test := range PubSubTests() {
		if test.Left != "" {
			continue
		}
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			p := newPostOffice(t, env)
			c := tests.TestContext{TestID: tests.NewTestID(), Features: env.features()}
			if test.run == nil {
				tests.TestConsumerGroups(t, c, p.open)
				return
			}
			test.run(t, c, func(t *testing.T) (message.Publisher, message.Subscriber) {
				if test.own {
					return p.openOwn(t)
				}
				return p.open(t, "")
			})
		})
	}
}
