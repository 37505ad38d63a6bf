package oracle

import "slices"

// Rules say what is expected. Sets that are not named are not looked at.
type Rules struct {
	// Sets names, for each type of event, the sets that leave an effect.
	Sets map[string][]string
	// Once are the sets whose effects are made exactly once.
	Once []string
	// Ordered are the sets whose effects are known in the order in which they were made.
	Ordered []string
	// Notify is the set that asks for mails.
	Notify string
	// Calls are the sets whose calls nothing has broken off: none of them is made twice, whatever their
	// effects are promised to be.
	Calls []string
	// Sound says that nothing failed but what entries say of themselves: what went wrong around them is
	// no reason to give up on another one.
	Sound bool
	// Copies is how many second copies of mails are excused: those in the hands of senders when
	// processes died.
	Copies int
}

// Check compares what was asked for with what came of it.
func Check(told map[string]*Told, e *Evidence, r Rules) *Verdict {
	c := &check{told: told, evidence: e, rules: r, verdict: &Verdict{}}
	c.index()
	c.kept()
	c.states()
	c.settled()
	c.once()
	c.order()
	c.mails()
	for _, f := range e.Feeds {
		c.feed(f)
	}
	c.verdict.sort()
	return c.verdict
}

type place struct {
	set      string
	position int64
}

type check struct {
	told     map[string]*Told
	evidence *Evidence
	rules    Rules
	verdict  *Verdict

	asked   map[string][]*Logged // by intent
	at      map[int64]*Logged
	ids     map[string]*Logged
	effects map[place][]*Effect
	letters map[place]*Letter

	letterOf map[string]int // messages that became no events
}

func (c *check) index() {
	c.asked, c.at, c.ids = map[string][]*Logged{}, map[int64]*Logged{}, map[string]*Logged{}
	for i := range c.evidence.Log {
		l := &c.evidence.Log[i]
		if l.Asked != "" {
			c.asked[l.Asked] = append(c.asked[l.Asked], l)
		}
		if l.Position > 0 {
			c.at[l.Position] = l
		}
		c.ids[l.ID] = l
	}
	c.effects, c.letters, c.letterOf = map[place][]*Effect{}, map[place]*Letter{}, map[string]int{}
	for i := range c.evidence.Effects {
		e := &c.evidence.Effects[i]
		c.effects[place{e.Set, e.Position}] = append(c.effects[place{e.Set, e.Position}], e)
	}
	for i := range c.evidence.Letters {
		if l := &c.evidence.Letters[i]; !l.Stray() {
			c.letters[place{l.Set, l.Position}] = l
		}
	}
	c.verdict.Effects, c.verdict.Letters = len(c.evidence.Effects), len(c.evidence.Letters)
	c.verdict.Mails = len(c.evidence.Mails)
}

// kept is promise 1: what was accepted is in the log, and nothing else is.
func (c *check) kept() {
	v := c.verdict
	batches := map[string][2]int{} // in the log, and all
	for id, t := range c.told {
		logged := c.asked[id]
		switch {
		case t.Outcome == Accepted:
			v.Accepted++
			if t.Doubted {
				v.Resolved++
			}
		case t.Outcome == Unknown:
			v.Unsure++
		case len(logged) > 0:
			v.add(Kept, Ghost, "", id, "it was refused and is in the log at %d", logged[0].Position)
		}
		if len(logged) == 0 && t.Outcome == Accepted && !t.Stray && !c.forgotten(t) {
			v.add(Kept, Lost, "", id, "%s was accepted and is not in the log", t.Type)
		}
		if len(logged) > 1 {
			v.add(Kept, Twice, "", id, "it is in the log %d times", len(logged))
		}
		for _, l := range logged {
			if l.Tenant != t.Tenant {
				v.add(TenantsKept, Crossed, "", id, "it was asked for by %s and is %s's in the log", t.Tenant, l.Tenant)
			}
			if l.Type != t.Type {
				v.add(Kept, Ghost, "", id, "a %s was asked for and the log has a %s", t.Type, l.Type)
			}
			if t.Recorded != 0 && t.Recorded != l.Recorded {
				v.add(Kept, Twice, "", id, "its receipt is of %d, the log accepted it at %d", t.Recorded, l.Recorded)
			}
		}
		if t.Batch != "" {
			n := batches[t.Batch]
			batches[t.Batch] = [2]int{n[0] + min(len(logged), 1), n[1] + 1}
		}
	}
	for batch, n := range batches {
		if n[0] != 0 && n[0] != n[1] && c.evidence.PrunedThrough == 0 {
			v.add(Kept, Lost, "", batch, "%d of %d events of a batch are in the log", n[0], n[1])
		}
	}
	for id, logged := range c.asked {
		v.Events += len(logged)
		if c.told[id] == nil {
			v.add(Kept, Ghost, "", id, "nobody asked for the %s that is in the log at %d", logged[0].Type, logged[0].Position)
		}
	}
}

// forgotten tells whether the log may have pruned what was asked for: it has left effects, or it is
// a command, of whose event nobody knows the id.
func (c *check) forgotten(t *Told) bool {
	if c.evidence.PrunedThrough == 0 {
		return false
	}
	if t.Key == "" {
		return true
	}
	missing := 0
	for _, set := range c.rules.Sets[t.Type] {
		if !slices.ContainsFunc(c.evidence.Effects, func(e Effect) bool {
			return e.Set == set && e.EventID == t.ID && e.Position <= c.evidence.PrunedThrough
		}) && !slices.ContainsFunc(c.evidence.Letters, func(l Letter) bool { return l.Set == set && l.EventID == t.ID }) {
			c.verdict.add(Settled, Lost, set, t.ID, "it is neither in the log nor handled")
			missing++
		}
	}
	if missing < len(c.rules.Sets[t.Type]) {
		c.verdict.Events++
		return true
	}
	return false
}

// states is promise 1 for aggregates: state and events are written together.
func (c *check) states() {
	last, first := map[[2]string]*Logged{}, map[[2]string]bool{}
	for i := range c.evidence.Log {
		l := &c.evidence.Log[i]
		if t := c.told[l.Asked]; t != nil && t.Key == "" {
			key := [2]string{l.Tenant, l.Subject}
			if before := last[key]; before == nil || l.Position == 0 || before.Position != 0 && l.Position > before.Position {
				last[key] = l
			}
		}
	}
	for _, s := range c.evidence.States {
		key := [2]string{s.Tenant, s.ID}
		first[key] = true
		switch l := last[key]; {
		case l == nil && c.evidence.PrunedThrough > 0:
		case l == nil:
			c.verdict.add(Kept, Lost, "", s.ID, "its state is stored and no event of it is in the log")
		case l.Asked != s.Asked:
			c.verdict.add(Kept, Lost, "", s.ID, "its state is that of %q, its last event that of %q", s.Asked, l.Asked)
		}
	}
	if c.evidence.States == nil {
		return
	}
	for key, l := range last {
		if !first[key] {
			c.verdict.add(Kept, Ghost, "", l.Asked, "%s %s is in the log and there is no state of it", l.Type, l.Subject)
		}
	}
}

// settled is promise 2: each set has an effect, or a dead letter, of each event; none is of
// nothing.
func (c *check) settled() {
	v := c.verdict
	for i := range c.evidence.Log {
		l := &c.evidence.Log[i]
		sets := c.rules.Sets[l.Type]
		if l.Position == 0 {
			if len(sets) > 0 {
				v.add(Settled, Lost, "", l.ID, "%s has no position", l.Type)
			}
			continue
		}
		for _, set := range sets {
			if len(c.effects[place{set, l.Position}]) > 0 {
				continue
			}
			switch letter := c.letters[place{set, l.Position}]; {
			case letter == nil:
				v.add(Settled, Lost, set, l.ID, "%s at %d is neither handled nor a dead letter", l.Type, l.Position)
			case letter.State != "open" && letter.State != "discarded":
				v.add(Settled, Lost, set, l.ID, "%s at %d is a dead letter %q and is not handled", l.Type, l.Position, letter.State)
			}
		}
	}
	for i := range c.evidence.Effects {
		e := &c.evidence.Effects[i]
		c.caused("effect", e.Set, e.Tenant, e.EventID, e.Position)
	}
	for i := range c.evidence.Letters {
		l := &c.evidence.Letters[i]
		if l.Stray() {
			c.stray(l)
			continue
		}
		c.caused("dead letter", l.Set, l.Tenant, l.EventID, l.Position)
		if c.rules.Sound && !c.excused(l) {
			v.add(Settled, Lost, l.Set, l.EventID, "it was given up, and nothing is wrong with it")
		}
	}
	c.strays()
	for _, p := range c.evidence.Parked {
		v.add(Settled, Lost, p.Set, "", "the event at %d is parked", p.Position)
	}
}

// excused tells whether a letter is of an entry that fails of its own accord.
func (c *check) excused(l *Letter) bool {
	at := c.at[l.Position]
	if at == nil || c.told[at.Asked] == nil {
		return at == nil // forgotten
	}
	return c.told[at.Asked].Fails
}

// stray wants an accepted message behind a letter of one that became no event.
func (c *check) stray(l *Letter) {
	t := c.told[l.Says]
	switch {
	case t == nil || !t.Stray:
		c.verdict.add(Settled, Ghost, l.Set, l.Says, "a dead letter of a message that nobody sent")
	case t.Tenant != l.Tenant:
		c.verdict.add(TenantsKept, Crossed, l.Set, l.Says, "a dead letter under %s of a message for %s", l.Tenant, t.Tenant)
	}
	c.letterOf[l.Says]++
}

// strays wants one letter for each message that could not become an event.
func (c *check) strays() {
	for id, t := range c.told {
		if !t.Stray || t.Outcome != Accepted {
			continue
		}
		c.verdict.Strays++
		switch n := c.letterOf[id]; {
		case n == 0:
			c.verdict.add(Settled, Lost, "", id, "the message became no event, and no dead letter")
		case n > 1:
			c.verdict.add(Settled, Twice, "", id, "the message became %d dead letters", n)
		}
	}
}

// caused wants an accepted event behind what a set has left, and the same tenant.
func (c *check) caused(what, set, tenant, id string, position int64) {
	l := c.at[position]
	if l == nil || l.ID != id {
		if position > c.evidence.PrunedThrough || l != nil {
			c.verdict.add(Settled, Ghost, set, id, "a %s at %d, where the log has no such event", what, position)
		} else if t := c.told[id]; t != nil && t.Tenant != tenant {
			c.verdict.add(TenantsKept, Crossed, set, id, "a %s under %s of an event of %s", what, tenant, t.Tenant)
		}
		return
	}
	if l.Tenant != tenant {
		c.verdict.add(TenantsKept, Crossed, set, id, "a %s under %s of an event of %s", what, tenant, l.Tenant)
	}
}

// once is promise 3.
func (c *check) once() {
	for at, effects := range c.effects {
		if !slices.Contains(c.rules.Once, at.set) {
			c.verdict.Repeats += len(effects) - 1
			if len(effects) > 1 && slices.Contains(c.rules.Calls, at.set) {
				c.verdict.add(Settled, Twice, at.set, effects[0].EventID, "it was handled %d times, and nothing broke a call off", len(effects))
			}
			continue
		}
		c.verdict.Once += len(effects)
		if len(effects) > 1 {
			c.verdict.add(Once, Twice, at.set, effects[0].EventID, "its effect was made %d times", len(effects))
		}
		if letter := c.letters[at]; letter != nil && letter.State == "open" {
			c.verdict.add(Once, Twice, at.set, effects[0].EventID, "its effect is made, and it is a dead letter")
		}
	}
}
