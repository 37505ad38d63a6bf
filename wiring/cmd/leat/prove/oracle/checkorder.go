package oracle

import (
	"cmp"
	"slices"
)

type key struct{ where, tenant, key string }

// order is promise 4: a key's first deliveries come in the order of the log, and the log is in the
// order in which clients were answered.
func (c *check) order() {
	last := map[key]int64{}
	seen := map[place]bool{}
	for i := range c.evidence.Effects {
		e := &c.evidence.Effects[i]
		at := place{e.Set, e.Position}
		if !slices.Contains(c.rules.Ordered, e.Set) || e.Redriven || seen[at] {
			continue
		}
		seen[at] = true
		k := key{e.Set, e.Tenant, e.Key}
		if e.Position < last[k] {
			c.verdict.add(InOrder, Disorder, e.Set, e.EventID, "at %d, after the event of key %s at %d", e.Position, e.Key, last[k])
		}
		last[k] = max(last[k], e.Position)
	}
	byKey := map[key][]*Told{}
	for id, t := range c.told {
		if t.Key != "" && !t.Aside && t.Outcome == Accepted && len(c.asked[id]) > 0 && c.asked[id][0].Position > 0 {
			k := key{t.Client, t.Tenant, t.Key}
			byKey[k] = append(byKey[k], t)
		}
	}
	for k, all := range byKey {
		slices.SortFunc(all, func(a, b *Told) int { return cmp.Compare(a.Asked, b.Asked) })
		var before *Told
		for _, t := range all {
			if before != nil && before.Answered < t.Asked && c.asked[before.ID][0].Position > c.asked[t.ID][0].Position {
				c.verdict.add(InOrder, Disorder, "", t.ID, "in the log at %d, and its client had the answer to %s, at %d, of the same key %s before it asked",
					c.asked[t.ID][0].Position, before.ID, c.asked[before.ID][0].Position, k.key)
			}
			before = t
		}
	}
}
