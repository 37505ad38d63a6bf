package oracle

import "math"

// pruned tells whether the log may have forgotten the event of a frame. One that came ahead of its
// position was at least asked for.
func (c *check) pruned(f Frame) bool {
	if f.Position > 0 {
		return f.Position <= c.evidence.PrunedThrough
	}
	return c.evidence.PrunedThrough > 0 && c.told[f.EventID] != nil
}

// feed is promise 6: on each connection events come once and in the order of the log; over all of
// them nothing is missing that no gap was told of.
func (c *check) feed(f Feed) {
	v := c.verdict
	v.Frames += len(f.Frames)
	got := map[string]bool{}
	type span struct{ from, to int64 }
	var gaps []span
	low, high := int64(math.MaxInt64), int64(0)
	connection, last := -1, int64(0)
	var here map[string]bool
	for _, frame := range f.Frames {
		if frame.Connection != connection {
			connection, last, here = frame.Connection, 0, map[string]bool{}
		}
		switch frame.Op {
		case "resume":
			low = min(low, frame.Position)
		case "gap":
			gaps = append(gaps, span{frame.From, frame.To})
		case "position":
			high = max(high, frame.Position)
		case "event":
			if frame.Tenant != f.Tenant {
				v.add(TenantsKept, Crossed, "", frame.EventID, "%s of tenant %s was shown an event of %s", f.Client, f.Tenant, frame.Tenant)
			}
			if here[frame.EventID] {
				v.add(Live, Twice, "", frame.EventID, "%s got it twice on connection %d", f.Client, connection)
			}
			here[frame.EventID], got[frame.EventID] = true, true
			if frame.Position > 0 {
				if frame.Position <= last {
					v.add(Live, Disorder, "", frame.EventID, "%s got %d after %d on connection %d", f.Client, frame.Position, last, connection)
				}
				last = max(last, frame.Position)
				high = max(high, frame.Position)
			}
			if c.ids[frame.EventID] == nil && !c.pruned(frame) {
				v.add(Live, Ghost, "", frame.EventID, "%s was shown an event that is not in the log", f.Client)
			}
		}
	}
	for i := range c.evidence.Log {
		l := &c.evidence.Log[i]
		if l.Tenant != f.Tenant || l.Position <= low || l.Position > high || got[l.ID] {
			continue
		}
		told := false
		for _, g := range gaps {
			told = told || g.from <= l.Position && l.Position <= g.to
		}
		if !told {
			v.add(Live, Lost, "", l.ID, "%s was told how far it is, %d, and not of the event at %d", f.Client, high, l.Position)
		}
	}
}
