package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/handlers/notify"
)

// Written is an entry.
type Written struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
	// Email gets a mail about it; empty: nobody.
	Email string `json:"email,omitempty"`
	// Fails is how often the sets fail before they handle it; what came back from the dead letters
	// is handled. Poison is never handled.
	Fails int `json:"fails,omitempty"`
	// FailsIn is the only set that Fails is about; empty: both.
	FailsIn string `json:"fails_in,omitempty"`
}

// Poison as Fails makes an entry that no attempt handles.
const Poison = 1000

// EventType is "entry.written".
func (Written) EventType() string { return "entry.written" }

// Flagged is an entry that live clients see at once. It goes to audit and nowhere else.
type Flagged struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
}

// EventType is "entry.flagged".
func (Flagged) EventType() string { return "entry.flagged" }

// fault returns why this attempt fails, nil when it does not.
func (w Written) fault(d handler.Delivery) error {
	switch {
	case w.FailsIn != "" && w.FailsIn != d.Set:
		return nil
	case w.Fails == Poison:
		return errors.New("poison")
	case d.Attempt <= w.Fails && !d.Redriven:
		return fmt.Errorf("attempt %d of an entry that fails %d times", d.Attempt, w.Fails)
	}
	return nil
}

// recipients sends each entry's mail to the address that stands in it, and asks next about other
// events.
type recipients struct{ next notify.Recipients }

func (r recipients) Recipients(ctx context.Context, e event.Envelope) ([]notify.Recipient, error) {
	if e.Type != (Written{}).EventType() {
		if r.next == nil {
			return nil, nil
		}
		return r.next.Recipients(ctx, e)
	}
	var w Written
	if err := json.Unmarshal(e.Data, &w); err != nil {
		return nil, err
	}
	if w.Email == "" {
		return nil, nil
	}
	return []notify.Recipient{{Address: w.Email}}, nil
}
