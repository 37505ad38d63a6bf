package postgres

import (
	"context"

	"github.com/leat-dev/leat/app/event"
)

// TopicTable returns the name of the view that shows the log as a topic of watermill-sql's default
// PostgreSQL schema, for its GenerateMessagesTableName. A publisher appends events: the payload is
// the data, the metadata are the attributes under their CloudEvents names (event.ToMessage); what it
// inserts is checked as far as SQL can, which is all but the JSON Schema of the data. A subscriber reads
// what has a position, in that order.
func (db *DB) TopicTable() string { return db.Table("topic_events") }

// DescribeTypes tells the topic which event types this program knows; it accepts those that some
// program on the log has told it of, up to the newest schema version. Call it at every start.
func (db *DB) DescribeTypes(ctx context.Context, c *event.Catalogue) error {
	var types, kinds []string
	var versions []int32
	for _, name := range c.Types() {
		if d, ok := c.Lookup(name); ok {
			types, kinds, versions = append(types, name), append(kinds, string(d.Kind())), append(versions, int32(d.SchemaVersion()))
		}
	}
	return doing("describe the event types", db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.conn.Exec(t.ctx(ctx), db.q.describeTypes, types, versions, kinds)
		return err
	}))
}
