package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/handler"
)

// Set returns the set "audit": one entry for each event whose type a pattern selects, from the
// first event of the log on.
func Set(store Store, patterns ...event.Pattern) handler.Set {
	return handler.NewSet("audit",
		handler.OnMatchTx(func(ctx context.Context, e event.Envelope) error {
			entry, err := entryOf(e)
			if err != nil {
				return handler.Permanent(err)
			}
			return store.Record(ctx, entry)
		}, patterns...),
		handler.FromStart(),
	)
}

func entryOf(e event.Envelope) (Entry, error) {
	changes, err := changesOf(e.Data)
	if err != nil {
		return Entry{}, fmt.Errorf("read the changes of %s: %w", e.Type, err)
	}
	return Entry{
		ID: strconv.FormatInt(e.Position, 10), Tenant: e.Tenant, Position: e.Position, Time: e.Time, Actor: e.Actor,
		Type: e.Type, Subject: e.Subject, EventID: e.ID, CorrelationID: e.CorrelationID, Changes: changes, Recorded: e.Recorded,
	}, nil
}

// changesOf returns the member "changes" of an event's data. Decoding into a map keeps a member
// "Changes" from passing for it, as it would with a struct.
func changesOf(data []byte) (json.RawMessage, error) {
	if !bytes.Contains(data, []byte(`changes`)) && !bytes.Contains(data, []byte(`\u`)) {
		return nil, nil // the usual case, without decoding
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	changes := members["changes"]
	if string(changes) == "null" {
		return nil, nil
	}
	return changes, nil
}
