package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"testing/fstest"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/configs"
	"github.com/leat-dev/leat/handlers/notify"
	"github.com/leat-dev/leat/wiring"
	"github.com/leat-dev/leat/wiring/cmd/leat/command"
)

// The ledger is a service for counting: each entry.written goes to audit, leads to a mail, and is
// written by the set "ledger" into a table that keeps every call, so that what is lost, done twice or
// out of order for its key can be seen from outside. An entry with a negative number fails until somebody
// retries its dead letter.

type written struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
	Email  string `json:"email"`
}

func (written) EventType() string { return "entry.written" }

// corrected is what the next version of the ledger knows besides.
type corrected struct {
	Key    string `json:"key"`
	Number int    `json:"number"`
}

func (corrected) EventType() string { return "entry.corrected" }

func runWith(s wiring.Service) int {
	ctx, stop := command.WithSignals(context.Background(), os.Stderr, os.Exit)
	defer stop()
	return command.Main(ctx, command.App{
		Serve: func(ctx context.Context, cfg *configs.Config, logger *slog.Logger) error {
			return wiring.Serve(ctx, cfg, s, logger)
		},
		Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}, os.Args[1:])
}

func ledgerService() wiring.Service {
	return ledgerOf(event.Definitions{event.Define[written](event.Business)}, nil)
}

func nextLedgerService() wiring.Service {
	return ledgerOf(event.Definitions{event.Define[written](event.Business), event.Define[corrected](event.Business)},
		func(write func(ctx context.Context, key string, number int) error) handler.Option {
			return handler.OnTx(func(ctx context.Context, e corrected) error { return write(ctx, e.Key, e.Number) })
		})
}

// ledgerOf is the ledger with these events; more, when it is not nil, is a reaction that it has besides.
func ledgerOf(events event.Definitions, more func(write func(ctx context.Context, key string, number int) error) handler.Option) wiring.Service {
	return wiring.Service{
		Name:        "ledger",
		Definitions: []event.Definitions{events},
		Build: func(ctx context.Context, kit wiring.Kit) (wiring.Parts, error) {
			sequence := "INTEGER PRIMARY KEY AUTOINCREMENT"
			if kit.Store.Dialect() == sqltx.Postgres {
				sequence = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
			}
			table := "-- +goose Up\nCREATE TABLE leat_ledger (seq " + sequence + ", key TEXT NOT NULL, number BIGINT NOT NULL);\n"
			if err := kit.Store.Migrate(ctx, fstest.MapFS{"00001_ledger.sql": {Data: []byte(table)}}, "ledger"); err != nil {
				return wiring.Parts{}, err
			}
			write := func(ctx context.Context, key string, number int) error {
				_, err := kit.Store.SQL(ctx).Exec(ctx,
					"INSERT INTO "+kit.Store.Table("ledger")+" (key, number) VALUES (?, ?)", key, number)
				return err
			}
			reactions := []handler.Option{handler.OnTx(func(ctx context.Context, e written) error {
				if e.Number < 0 && !handler.DeliveryFrom(ctx).Redriven {
					return handler.Permanent(errors.New("its number is negative"))
				}
				return write(ctx, e.Key, e.Number)
			})}
			if more != nil {
				reactions = append(reactions, more(write))
			}
			return wiring.Parts{
				Sets:       []handler.Set{handler.NewSet("ledger", reactions...)},
				Audit:      []event.Pattern{"entry.*"},
				Rules:      []notify.Rule{{Type: "entry.written", Template: "entry"}},
				Recipients: writer{},
				Templates: []fs.FS{fstest.MapFS{
					"entry.subject.tmpl": {Data: []byte("{{.Data.key}} {{.Data.number}}")},
					"entry.txt.tmpl":     {Data: []byte("Entry {{.Data.number}} of {{.Data.key}}.\n")},
				}},
			}, nil
		},
	}
}

// writer sends each entry's mail to the address that stands in it.
type writer struct{}

func (writer) Recipients(_ context.Context, e event.Envelope) ([]notify.Recipient, error) {
	var w written
	if err := json.Unmarshal(e.Data, &w); err != nil {
		return nil, err
	}
	if w.Email == "" {
		return nil, nil
	}
	return []notify.Recipient{{Address: w.Email}}, nil
}
