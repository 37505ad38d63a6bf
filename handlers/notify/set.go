package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/domain"
)

// Rule says that an event leads to a mail.
type Rule struct {
	Type     string // event type, such as "member.invited"
	Template string // name of the mail's template
}

// Option changes what Set does.
type Option func(*reactor)

// WithTemplates lets the set refuse a notification whose template does not exist: it becomes a dead
// letter at once. Without it such a mail is queued, and the email worker reports it as failed.
func WithTemplates(t Templates) Option { return func(r *reactor) { r.templates = t } }

// Set returns the handler set "notify". A type may stand in several rules: each leads to its own
// notification.requested. Rules for types that are not defined show when the set is bound.
func Set(rules []Rule, recipients Recipients, p Publisher, q Queue, options ...Option) handler.Set {
	r := &reactor{recipients: recipients, publisher: p, queue: q}
	for _, o := range options {
		o(r)
	}
	var types []string
	templates := map[string][]string{}
	for _, rule := range rules {
		if templates[rule.Type] == nil {
			types = append(types, rule.Type)
		}
		templates[rule.Type] = append(templates[rule.Type], rule.Template)
	}
	reactions := []handler.Option{handler.OnMatchTx(r.enqueue, event.Pattern(Requested{}.EventType()))}
	for _, typ := range types {
		reactions = append(reactions, handler.OnMatchTx(r.request(templates[typ]), event.Pattern(typ)))
	}
	return handler.NewSet("notify", reactions...)
}

// CheckRules reports every rule whose template does not exist.
func CheckRules(rules []Rule, t Templates) []error {
	var faults []error
	for _, rule := range rules {
		if !t.Has(rule.Template) {
			faults = append(faults, fmt.Errorf("the notify rule for %q names the mail template %q, which does not exist", rule.Type, rule.Template))
		}
	}
	return faults
}

type reactor struct {
	recipients Recipients
	publisher  Publisher
	queue      Queue
	templates  Templates // nil: every name goes
}

// request returns the reaction to a type that rules name.
func (r *reactor) request(templates []string) func(context.Context, event.Envelope) error {
	return func(ctx context.Context, e event.Envelope) error {
		found, err := r.recipients.Recipients(ctx, e)
		if err != nil {
			return fmt.Errorf("find the recipients of %s: %w", e.Type, err)
		}
		to := distinct(found)
		if len(to) == 0 {
			return nil
		}
		data, err := contentOf(e)
		if err != nil {
			return handler.Permanent(fmt.Errorf("describe %s for its mail: %w", e.Type, err))
		}
		drafts := make([]event.Draft, len(templates))
		for i, template := range templates {
			drafts[i] = event.Draft{
				ID:      requestID(e, template),
				Subject: e.Subject,
				Tenant:  e.Tenant,
				Event:   Requested{Channel: Email, Template: template, Recipients: to, Data: data},
			}
		}
		fault.Point("notify.requesting")
		if _, err := r.publisher.Publish(ctx, drafts...); err != nil {
			err = fmt.Errorf("request notifications of %s: %w", e.Type, err)
			switch domain.KindOf(err) {
			case domain.Invalid, domain.TooLarge, domain.Conflict:
				return handler.Permanent(err) // the same call will fail again
			}
			return err
		}
		return nil
	}
}

// enqueue is the reaction to notification.requested.
func (r *reactor) enqueue(ctx context.Context, e event.Envelope) error {
	var n Requested
	if err := json.Unmarshal(e.Data, &n); err != nil {
		return handler.Permanent(fmt.Errorf("read notification.requested: %w", err))
	}
	if err := r.check(n); err != nil {
		return handler.Permanent(err)
	}
	requested := e
	requested.Data = nil
	var mails []Mail
	for _, to := range distinct(n.Recipients) {
		mails = append(mails, Mail{Requested: requested, To: to, Template: n.Template, Data: n.Data})
	}
	if err := r.queue.Enqueue(ctx, mails...); err != nil {
		return fmt.Errorf("enqueue mails of %s: %w", e.ID, err)
	}
	fault.Point("notify.enqueued")
	return nil
}

// check reports what the schema lets through and a mail cannot have.
func (r *reactor) check(n Requested) error {
	if n.Channel != Email {
		return invalid("UNKNOWN_CHANNEL", "data.channel", fmt.Sprintf("there is no channel %q; want %q", n.Channel, Email))
	}
	if r.templates != nil && !r.templates.Has(n.Template) {
		return invalid("UNKNOWN_TEMPLATE", "data.template", fmt.Sprintf("there is no mail template %q", n.Template))
	}
	if len(n.Recipients) == 0 {
		return invalid("RECIPIENTS_MISSING", "data.recipients", "a notification needs a recipient")
	}
	for i, to := range n.Recipients {
		if err := to.check(); err != nil {
			return invalid("INVALID_RECIPIENT", fmt.Sprintf("data.recipients.%d", i), err.Error())
		}
	}
	return nil
}

// distinct returns the recipients without those whose address came before, and addresses trimmed.
func distinct(all []Recipient) []Recipient {
	seen := make(map[string]bool, len(all))
	var out []Recipient
	for _, to := range all {
		to.Address = strings.Trim(to.Address, " ")
		key := strings.ToLower(to.Address)
		if !seen[key] {
			seen[key] = true
			out = append(out, to)
		}
	}
	return out
}

// requestID makes the id of what a rule publishes depend on the cause alone, so that a cause which
// is replayed asks for nothing a second time.
func requestID(cause event.Envelope, template string) string {
	sum := sha256.Sum256([]byte(cause.Source + "\x00" + cause.ID + "\x00" + template))
	return "notify-" + hex.EncodeToString(sum[:16])
}

func invalid(code, field, message string) *domain.Error {
	return &domain.Error{Kind: domain.Invalid, Code: code, Field: field, Message: message}
}
