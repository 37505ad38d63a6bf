package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
)

// statementRows are the numbers of rows that statements insert. There are few, since one of a hundred rows takes
// 200 KiB and a millisecond to prepare; and round ones, as those are what people's batches have.
var statementRows = [...]int{100, 50, 20, 10, 5, 2, 1}

// rowsAtOnce returns how many of n rows the next statement inserts.
func rowsAtOnce(n int) int {
	for _, rows := range statementRows {
		if rows <= n {
			return rows
		}
	}
	return 0
}

// The columns of the log that all events of a call have in common come first, the others after them.
const (
	callColumns = "source, tenant, actor, correlation_id, causation_id, depth, trace_parent, recorded"
	callValues  = 8
	ownColumns  = "slot, id, type, schema_version, kind, severity, subject, time, partition_key, data"
	ownValues   = 10
)

// insertQuery is the statement that inserts events. alike says that they have callColumns in common, which are given
// once then: a value costs about as much as it takes to store it.
func insertQuery(table string, rows int, alike bool) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " (" + callColumns + ", " + ownColumns + ") VALUES (?" + strings.Repeat(",?", callValues+ownValues-1) + ")")
	next := ",(?" + strings.Repeat(",?", callValues+ownValues-1) + ")"
	if alike {
		next = ",(?1,?2,?3,?4,?5,?6,?7,?8" + strings.Repeat(",?", ownValues) + ")"
	}
	b.WriteString(strings.Repeat(next, rows-1))
	b.WriteString(" ON CONFLICT (id, source, tenant) DO NOTHING")
	return b.String()
}

// inserter puts events into the log, several with one statement. It hands the driver its values itself, since
// package sql looks at each of a thousand and copies all.
type inserter struct {
	table   string
	stmts   map[insertKey]driver.StmtExecContext
	entries []entry // room
	values  []driver.NamedValue
	stride  int // how far the row before is
}

func newInserter(table string) inserter {
	return inserter{table: table, stmts: map[insertKey]driver.StmtExecContext{}}
}

type insertKey struct {
	rows  int
	alike bool
}

// entry is one event that is being inserted.
type entry struct {
	event   *event.Envelope
	receipt *eventlog.Receipt
	slot    int
}

// insert inserts as many events as one of the statements does, those that the log does not hold yet. It returns how
// many these were, and the position of the last of them.
func (w *writer) insert(entries []entry, now int64) (added int, last int64, err error) {
	if w.gone {
		return 0, 0, errLost
	}
	in := &w.inserter
	alike := len(entries) > 1 && areAlike(entries)
	in.fill(entries, alike, now)
	defer clear(in.values)
	err = w.conn.Raw(func(conn any) error {
		s, err := in.prepared(conn, insertKey{len(entries), alike})
		if err != nil {
			return err
		}
		res, err := s.ExecContext(context.Background(), in.values)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		added = int(n)
		last, err = res.LastInsertId()
		return err
	})
	return added, last, err
}

func (in *inserter) prepared(conn any, key insertKey) (driver.StmtExecContext, error) {
	if s, ok := in.stmts[key]; ok {
		return s, nil
	}
	c, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("the SQLite driver cannot prepare statements")
	}
	made, err := c.PrepareContext(context.Background(), insertQuery(in.table, key.rows, key.alike))
	if err != nil {
		return nil, err
	}
	s, ok := made.(driver.StmtExecContext)
	if !ok {
		_ = made.Close()
		return nil, fmt.Errorf("the SQLite driver cannot run prepared statements")
	}
	in.stmts[key] = s
	return s, nil
}

func (in *inserter) close() {
	for _, s := range in.stmts {
		if s, ok := s.(driver.Stmt); ok {
			_ = s.Close()
		}
	}
}

// areAlike tells whether the events have callColumns in common.
func areAlike(entries []entry) bool {
	a := entries[0].event
	for _, entry := range entries[1:] {
		b := entry.event
		if a.CorrelationID != b.CorrelationID || a.CausationID != b.CausationID || a.TraceParent != b.TraceParent || a.Depth != b.Depth ||
			a.Source != b.Source || a.Tenant != b.Tenant || a.Actor != b.Actor {
			return false
		}
	}
	return true
}

// fill puts down the values of a statement.
func (in *inserter) fill(entries []entry, alike bool, now int64) {
	in.values, in.stride = in.values[:0], callValues+ownValues
	if alike {
		in.stride = ownValues
	}
	for i, entry := range entries {
		e := entry.event
		if i == 0 || !alike {
			in.text(e.Source)
			in.text(e.Tenant)
			in.text(e.Actor)
			in.text(e.CorrelationID)
			in.text(e.CausationID)
			in.number(int64(e.Depth))
			in.text(e.TraceParent)
			in.number(now)
		}
		in.number(int64(entry.slot))
		in.text(e.ID)
		in.text(e.Type)
		in.number(int64(e.SchemaVersion))
		in.text(string(e.Kind))
		in.text(string(e.Severity))
		in.text(e.Subject)
		in.number(micros(e.Time))
		in.text(e.PartitionKey)
		data := e.Data
		if data == nil {
			data = []byte{} // nil would be NULL
		}
		in.add(data)
	}
}

func (in *inserter) text(s string) {
	if before, ok := in.before().(string); ok && before == s {
		in.add(in.before())
	} else {
		in.add(s)
	}
}

func (in *inserter) number(n int64) {
	if before, ok := in.before().(int64); ok && before == n {
		in.add(in.before())
	} else {
		in.add(n)
	}
}

// before is what the row before has at the same place: the same value need not be made again.
func (in *inserter) before() driver.Value {
	if i := len(in.values) - in.stride; i >= 0 {
		return in.values[i].Value
	}
	return nil
}

func (in *inserter) add(v driver.Value) {
	in.values = append(in.values, driver.NamedValue{Ordinal: len(in.values) + 1, Value: v})
}
