package natsbus

import (
	"strings"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/bus"
)

// form is what entries are written into on their way: the same headers that toNATS gives their messages, in
// one map that serves again as soon as a message is on the connection.
type form struct {
	header nats.Header
	values []string
}

// write makes msg the message of an entry, good until the next call. log is the identity of the log; "": none.
func (f *form) write(msg *nats.Msg, e bus.Entry, log string) error {
	subject := Subject(e.Envelope)
	if err := checkSubject(subject); err != nil {
		return err
	}
	if f.header == nil {
		f.header, f.values = make(nats.Header, headers), make([]string, 0, headers)
	}
	clear(f.header)
	f.values = f.values[:0]
	f.set(wmnats.WatermillUUIDHdr, e.ID)
	bus.EachAttribute(e, func(name, value string) {
		if strings.HasPrefix(name, cePrefix) {
			value = encode(value)
		}
		f.set(name, value)
	})
	if log != "" {
		f.set(headerLog, log)
	}
	msg.Subject, msg.Header, msg.Data = subject, f.header, e.Data
	return nil
}

// headers is how many a message has at most.
const headers = 24

func (f *form) set(name, value string) {
	n := len(f.values)
	f.values = append(f.values, value)
	f.header[name] = f.values[n : n+1 : n+1]
}
