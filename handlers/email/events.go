package email

import "github.com/leat-dev/leat/app/event"

// Sent is the event notification.sent: a mail server has taken the mail.
type Sent struct {
	To        string `json:"to"`
	Template  string `json:"template"`
	MessageID string `json:"messageId"`
	// Duration is how long the attempt that succeeded took, in milliseconds.
	Duration int64 `json:"duration_ms"`
	Attempts int   `json:"attempts"`
}

// EventType is "notification.sent".
func (Sent) EventType() string { return "notification.sent" }

// Failed is the event notification.failed: the mail will not be sent.
type Failed struct {
	To       string `json:"to"`
	Template string `json:"template"`
	Error    string `json:"error"`
	// Permanent tells a mail that no attempt could have delivered from one whose attempts are used up.
	Permanent bool `json:"permanent"`
	Attempts  int  `json:"attempts"`
}

// EventType is "notification.failed".
func (Failed) EventType() string { return "notification.failed" }

// Definitions holds the events that the worker publishes.
var Definitions = event.Definitions{
	event.Define[Sent](event.Notification),
	event.Define[Failed](event.Notification),
}
