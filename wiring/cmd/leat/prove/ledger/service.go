package ledger

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/fault"
	"github.com/leat-dev/leat/app/handler"
	"github.com/leat-dev/leat/app/sqltx"
	"github.com/leat-dev/leat/handlers/notify"
	"github.com/leat-dev/leat/wiring"
)

// EffectsVariable names the file that the set "side" writes to, one Line after the other; without it
// there is no such set.
const EffectsVariable = "LEAT_TEST_EFFECTS"

// Line is one call of the set "side".
type Line struct {
	Tenant   string
	Event    string // its id
	Key      string
	Position int64
	Attempt  int
	Redriven bool
	At       int64 // when, in nanoseconds since 1970
}

// Service returns the ledger alone.
func Service() wiring.Service { return Beside(wiring.Service{Name: "ledger"}) }

// Beside adds the ledger to a service.
func Beside(s wiring.Service) wiring.Service {
	build := s.Build
	s.Definitions = append(s.Definitions, event.Definitions{
		event.Define[Written](event.Business), event.Define[Flagged](event.Business, event.Realtime()),
	})
	s.Build = func(ctx context.Context, kit wiring.Kit) (wiring.Parts, error) {
		var parts wiring.Parts
		if build != nil {
			var err error
			if parts, err = build(ctx, kit); err != nil {
				return parts, err
			}
		}
		own, err := (&ledger{kit}).parts(ctx, parts.Recipients)
		return parts.And(own), err
	}
	return s
}

type ledger struct{ kit wiring.Kit }

func (l *ledger) parts(ctx context.Context, others notify.Recipients) (wiring.Parts, error) {
	if err := l.migrate(ctx); err != nil {
		return wiring.Parts{}, err
	}
	parts := wiring.Parts{
		Sets:       []handler.Set{handler.NewSet("ledger", handler.OnTx(l.write))},
		Audit:      []event.Pattern{"entry.*"},
		Rules:      []notify.Rule{{Type: "entry.written", Template: "entry"}},
		Recipients: recipients{others},
		Templates:  []fs.FS{folder("templates")},
		Routes:     []func(huma.API){l.routes},
	}
	if path := os.Getenv(EffectsVariable); path != "" {
		parts.Sets = append(parts.Sets, handler.NewSet("side", handler.On(side(path).write)))
	}
	return parts, nil
}

func (l *ledger) migrate(ctx context.Context) error {
	return l.kit.Store.Migrate(ctx, folder("migrations/"+string(l.kit.Store.Dialect())), "ledger")
}

//go:embed migrations/*/*.sql templates/*.tmpl
var files embed.FS

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// write is the effect that must be made once.
func (l *ledger) write(ctx context.Context, w Written) error {
	d := handler.DeliveryFrom(ctx)
	if err := w.fault(d); err != nil {
		return err
	}
	e, _ := event.Handled(ctx)
	redriven := 0
	if d.Redriven {
		redriven = 1
	}
	fault.Point("ledger.in-handler")
	_, err := l.kit.Store.SQL(ctx).Exec(ctx, "INSERT INTO "+l.kit.Store.Table("ledger")+
		" (tenant, event_id, key, number, position, redriven, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
		e.Tenant, e.ID, w.Key, w.Number, e.Position, redriven, time.Now().UnixNano())
	fault.Point("ledger.row-written")
	return err
}

// side is the file of the effects that are made at least once.
type side string

func (s side) write(ctx context.Context, w Written) (err error) {
	d := handler.DeliveryFrom(ctx)
	if err := w.fault(d); err != nil {
		return err
	}
	e, _ := event.Handled(ctx)
	line, err := json.Marshal(Line{
		Tenant: e.Tenant, Event: e.ID, Key: w.Key, Position: e.Position, Attempt: d.Attempt, Redriven: d.Redriven, At: time.Now().UnixNano(),
	})
	if err != nil {
		return err
	}
	fault.Point("ledger.before-side")
	f, err := os.OpenFile(string(s), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if failed := f.Close(); err == nil {
			err = failed
		}
	}()
	_, err = f.Write(append(line, '\n')) // in one piece: others append to the same file
	fault.Point("ledger.side-written")
	return err
}

// bound leaves room for so many pages more in the database; 0: as much as there can be. It is a matter
// of SQLite, and of the connection that writes.
func (l *ledger) bound(ctx context.Context, pages int64) error {
	if l.kit.Store.Dialect() != sqltx.SQLite {
		return fmt.Errorf("the size of %s cannot be bounded", l.kit.Store.Dialect())
	}
	return l.kit.Store.InTx(ctx, func(ctx context.Context) error {
		sql := l.kit.Store.SQL(ctx)
		most := int64(1<<32 - 2) // what SQLite can count
		if pages > 0 {
			if err := sql.QueryRow(ctx, "PRAGMA page_count").Scan(&most); err != nil {
				return err
			}
			most += pages
		}
		return sql.QueryRow(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", most)).Scan(&most)
	})
}

// Entry is one of a batch.
type Entry struct {
	ID string `json:"id"`
	Written
}

// Batch is the body of POST /v1/ledger/entries: all of them are accepted, or none.
type Batch struct {
	Entries []Entry `json:"entries"`
}

type done struct {
	Body struct {
		Events int `json:"events"`
	}
}

// Source is that of the entries in a batch, and of those that clients publish one by one.
const Source = "clients"

func (l *ledger) routes(api huma.API) {
	httpapi.Register(api, huma.Operation{
		OperationID: "write-entries", Method: http.MethodPost, Path: "/v1/ledger/entries", DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *struct{ Body Batch }) (*done, error) {
		drafts := make([]event.Draft, len(in.Body.Entries))
		for i, e := range in.Body.Entries {
			drafts[i] = event.Draft{Event: e.Written, ID: e.ID, Source: Source, Subject: e.Key}
		}
		receipts, err := l.kit.Publisher.Business(ctx, drafts...)
		out := &done{}
		out.Body.Events = len(receipts)
		return out, err
	})
	httpapi.Register(api, huma.Operation{
		OperationID: "prune-log", Method: http.MethodPost, Path: "/v1/ledger/prune", DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *struct {
		Limit int `query:"limit"`
	},
	) (*done, error) {
		log, ok := l.kit.Store.(eventlog.Pruner)
		if !ok {
			return nil, fmt.Errorf("the store %T cannot be pruned", l.kit.Store)
		}
		out := &done{}
		var err error
		out.Body.Events, err = log.Prune(ctx, time.Now(), in.Limit)
		return out, err
	})
	httpapi.Register(api, huma.Operation{
		OperationID: "bound-database", Method: http.MethodPost, Path: "/v1/ledger/room", DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *struct {
		Pages int64 `query:"pages"`
	},
	) (*done, error) {
		return &done{}, l.bound(ctx, in.Pages)
	})
}
