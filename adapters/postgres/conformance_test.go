package postgres_test

import (
	"context"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/adapters/postgres"
	"github.com/leat-dev/leat/adapters/postgres/postgrestest"
	"github.com/leat-dev/leat/app/deadletter/deadlettertest"
	"github.com/leat-dev/leat/app/eventlog/eventlogtest"
	"github.com/leat-dev/leat/app/settle/settletest"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/app/sqltx/sqltxtest"
	"github.com/leat-dev/leat/handlers/audit/audittest"
	"github.com/leat-dev/leat/handlers/email"
	"github.com/leat-dev/leat/handlers/email/emailtest"
	"github.com/leat-dev/leat/handlers/notify"
)

func TestEventLog(t *testing.T) {
	t.Parallel()
	open := opener()
	eventlogtest.Run(t, func(t *testing.T, c clockwork.Clock) eventlogtest.Store { return open(t, c) })
}

func TestSettle(t *testing.T) {
	t.Parallel()
	open := opener()
	settletest.Run(t, func(t *testing.T, c clockwork.Clock) settletest.Store { return open(t, c) })
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	deadlettertest.Run(t, func(t *testing.T, c clockwork.Clock) deadlettertest.Store { return open(t, c) })
}

func TestSQL(t *testing.T) {
	t.Parallel()
	sqltxtest.Run(t, func(t *testing.T, prefix string) sqltx.Store {
		return openWith(t, postgres.Config{URL: postgrestest.Start(t), TablePrefix: prefix}, clockwork.NewRealClock())
	})
}

func TestAudit(t *testing.T) {
	t.Parallel()
	audittest.Test(t, func(t *testing.T) audittest.Subject {
		db := open(t, clockwork.NewRealClock())
		a := postgres.NewAudit(db)
		return audittest.Subject{Store: a, Reader: a, Tx: db}
	})
}

func TestEmailQueue(t *testing.T) {
	t.Parallel()
	open := opener()
	emailtest.Test(t, func(t *testing.T) emailtest.Subject {
		clock := clockwork.NewFakeClock()
		db := open(t, clock)
		q := postgres.NewEmailQueue(db)
		return emailtest.Subject{Queue: q, Reader: q, Tx: db, Advance: clock.Advance, Enqueue: enqueue(q)}
	})
}

func enqueue(q notify.Queue) func(context.Context, ...email.Mail) error {
	return func(ctx context.Context, mails ...email.Mail) error {
		converted := make([]notify.Mail, len(mails))
		for i, m := range mails {
			converted[i] = notify.Mail{Requested: m.Requested, To: notify.Recipient(m.To), Template: m.Template, Data: m.Data}
		}
		return q.Enqueue(ctx, converted...)
	}
}
