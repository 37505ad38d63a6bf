package devinbox

import (
	"slices"
	"sync"
	"time"
)

// Mail is a mail that came in.
type Mail struct {
	ID        string    `json:"id"`
	From      string    `json:"from"` // as the mail's header has it, else the envelope's sender
	To        []string  `json:"to"`   // the envelope's recipients
	Subject   string    `json:"subject"`
	Received  time.Time `json:"received"`
	Text      string    `json:"text,omitempty"`
	HTML      string    `json:"html,omitempty"` // as it came: show it nowhere but in a sandbox
	MessageID string    `json:"messageId,omitempty"`
}

// mailbox keeps the newest mails.
type mailbox struct {
	keep int

	mu      sync.Mutex
	mails   []Mail // oldest first
	changed chan struct{}
}

func newMailbox(keep int) *mailbox { return &mailbox{keep: keep, changed: make(chan struct{})} }

func (b *mailbox) add(m Mail) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails = append(b.mails, m)
	if over := len(b.mails) - b.keep; over > 0 {
		b.mails = slices.Delete(b.mails, 0, over)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// Mails returns the mails that are kept, newest first.
func (i *Inbox) Mails() []Mail {
	i.box.mu.Lock()
	defer i.box.mu.Unlock()
	out := slices.Clone(i.box.mails)
	slices.Reverse(out)
	return out
}

// Mail returns the mail with the id; ok is false when there is none, or not any more.
func (i *Inbox) Mail(id string) (m Mail, ok bool) {
	i.box.mu.Lock()
	defer i.box.mu.Unlock()
	at := slices.IndexFunc(i.box.mails, func(m Mail) bool { return m.ID == id })
	if at < 0 {
		return Mail{}, false
	}
	return i.box.mails[at], true
}

// Changed returns a channel that is closed when the next mail comes in. Take it before reading.
func (i *Inbox) Changed() <-chan struct{} {
	i.box.mu.Lock()
	defer i.box.mu.Unlock()
	return i.box.changed
}
