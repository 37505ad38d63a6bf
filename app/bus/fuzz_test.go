package bus_test

import (
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-dev/leat/app/bus"
	"github.com/leat-dev/leat/app/event"
)

// Whatever a transport makes of a message, decoding it ends with an error or with an entry that has
// a place in the log and is written in the same way again.
func FuzzDecode(f *testing.F) {
	head := "ce-specversion=1.0\nce-id=e\nce-type=a.b\nce-source=s\nce-time=2026-01-02T03:04:05Z\nce-tenantid=t\nce-schemaversion=1\n" +
		"ce-kind=business\nleat-position=7\nleat-recorded=2026-01-02T03:04:05Z\n"
	f.Add(head + "leat-prev=6\nleat-slotprev=3")
	f.Add(head + "leat-prev=\nleat-slotprev=3")
	f.Add(head + "leat-prev=6")
	f.Add(head + "leat-prev=0x6\nleat-slotprev=-3\nleat-position=0")
	f.Fuzz(func(t *testing.T, metadata string) {
		m := message.NewMessage("1", []byte(`{}`))
		for line := range strings.SplitSeq(metadata, "\n") {
			key, value, _ := strings.Cut(line, "=")
			m.Metadata[key] = value
		}
		e, err := bus.Decode(m)
		if err != nil {
			return
		}
		if e.Position < 1 || e.Slot != event.SlotOf(e.Tenant, e.PartitionKey) {
			t.Errorf("got position %d in slot %d", e.Position, e.Slot)
		}
		back, err := bus.Decode(bus.Encode(e))
		if err != nil {
			if len(e.CheckAttributes()) == 0 {
				t.Fatalf("what was decoded cannot be decoded again: %v", err)
			}
			return
		}
		if back.Position != e.Position || back.Prev != e.Prev || back.SlotPrev != e.SlotPrev {
			t.Errorf("got %d after %d and %d, want %d after %d and %d", back.Position, back.Prev, back.SlotPrev, e.Position, e.Prev, e.SlotPrev)
		}
	})
}
