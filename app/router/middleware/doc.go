// Package middleware holds the links of the one chain that every event passes on its way to a
// handler, one file each, outermost first: drain, correlate, trace, observe, report, dead letter,
// retry, timeout, recover, settle. Each is a Watermill middleware. They work on the settle.Attempt in the
// message's context; for sets without a record there is none, and the links that settle are left out.
package middleware

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/event"
)

// eventOf returns the event that the message carries: the attempt's, or as correlate read it.
func eventOf(m *message.Message) event.Envelope {
	e, _ := event.Handled(m.Context())
	return e
}
