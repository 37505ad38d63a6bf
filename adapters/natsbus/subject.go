package natsbus

import (
	"fmt"
	"strings"

	"github.com/leat-dev/leat/app/event"
)

const (
	eventPrefix   = "leat.events."
	eventSubjects = eventPrefix + ">"
	livePrefix    = "leat.live."
)

// Subject is where an event travels: leat.events.{tenant}.{slot}.{route}, the slot with two digits.
func Subject(e event.Envelope) string {
	return eventPrefix + e.Tenant + "." + slotToken(e.Slot) + "." + e.Route()
}

func slotToken(slot int) string { return string([]byte{'0' + byte(slot/10%10), '0' + byte(slot%10)}) }

// LiveSubject is where an event is broadcast: leat.live.{tenant}.{route}.
func LiveSubject(e event.Envelope) string { return livePrefix + e.Tenant + "." + e.Route() }

// filters are the subjects of a lane's slots.
func filters(lane, lanes int) []string {
	if lanes == 1 {
		return []string{eventSubjects}
	}
	var subjects []string
	for slot := lane; slot < event.Slots; slot += lanes {
		subjects = append(subjects, eventPrefix+"*."+slotToken(slot)+".>")
	}
	return subjects
}

// checkSubject refuses what the server would take for something else, or refuse for good.
func checkSubject(subject string) error {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return fmt.Errorf("subject %q has an empty part", subject)
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '>' }) {
			return fmt.Errorf("part %q of subject %q holds what a subject cannot", token, subject)
		}
	}
	return nil
}

// consumerName is the durable identity of a lane; lane numbers and counts end it, so that no two
// sets share one.
func consumerName(set string, lane, lanes int) string {
	return fmt.Sprintf("leat_%s_%d_of_%d", plain(set), lane, lanes)
}

// plain replaces what a consumer's name cannot hold, by its number so that names stay apart.
func plain(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "=%02x", c)
	}
	return b.String()
}
