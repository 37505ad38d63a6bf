package oracle

// mails is promise 5.
func (c *check) mails() {
	v := c.verdict
	received := map[string][]Mail{}
	for _, m := range c.evidence.Mails {
		received[m.To] = append(received[m.To], m)
	}
	queue := map[string]Queued{}
	for _, q := range c.evidence.Queue {
		queue[q.To] = q
	}
	outcomes := map[string][]*Logged{}
	for i := range c.evidence.Log {
		if l := &c.evidence.Log[i]; l.To != "" {
			outcomes[l.To] = append(outcomes[l.To], l)
		}
	}
	expected := map[string]bool{}
	for id, t := range c.told {
		if t.Email == "" {
			continue
		}
		logged := c.asked[id]
		if len(logged) == 0 {
			if c.evidence.PrunedThrough > 0 && t.Outcome != Refused {
				expected[t.Email] = true
			}
			continue
		}
		expected[t.Email] = true
		c.mail(t, logged[0], received[t.Email], queue[t.Email], outcomes[t.Email])
	}
	for to, copies := range received {
		if !expected[to] {
			v.add(Mailed, Ghost, "", to, "a mail that no accepted event asked for")
		}
		v.Copies += len(copies) - 1
	}
	if v.Copies > c.rules.Copies {
		v.add(Mailed, Twice, "", "all mails", "%d second copies, and only %d mails can have been in the hands of those who died", v.Copies, c.rules.Copies)
	}
}

func (c *check) mail(t *Told, l *Logged, copies []Mail, queued Queued, outcomes []*Logged) {
	v := c.verdict
	given := c.letters[place{c.rules.Notify, l.Position}]
	settled := queued.Status == "failed" || given != nil && (given.State == "open" || given.State == "discarded")
	if queued.To != "" && queued.Tenant != t.Tenant {
		v.add(TenantsKept, Crossed, "", t.Email, "in the queue as %s's, asked for by %s", queued.Tenant, t.Tenant)
	}
	if len(copies) == 0 && !settled {
		v.add(Mailed, Lost, "", t.Email, "no mail came (%s at %d)", t.ID, l.Position)
	}
	for _, m := range copies {
		if m.MessageID != copies[0].MessageID {
			v.add(Mailed, Twice, "", t.Email, "two mails with the ids %s and %s", copies[0].MessageID, m.MessageID)
			break
		}
	}
	switch {
	case len(outcomes) > 1:
		v.add(Mailed, Twice, "", t.Email, "its outcome is in the log %d times", len(outcomes))
	case len(outcomes) == 0 && len(copies) > 0 && !settled && c.evidence.PrunedThrough == 0:
		v.add(Mailed, Lost, "", t.Email, "the mail came, and its outcome is not in the log")
	}
	for _, o := range outcomes {
		if o.Tenant != t.Tenant {
			v.add(TenantsKept, Crossed, "", t.Email, "its outcome is %s's, it was asked for by %s", o.Tenant, t.Tenant)
		}
	}
}
