package natsbus

import (
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/event"
)

// What fuzz tests need of the inside.
var (
	CheckSubject = checkSubject
	Plain        = plain
	Encode       = encode
	Decode       = decode
)

// Read makes an event of a foreign message.
func (c ForeignConfig) Read(subject string, header nats.Header, data []byte, id string) (event.Raw, error) {
	return c.read(subject, header, data, id)
}

// There and back again is what becomes of a message on its way.
func ThereAndBack(subject string, m *message.Message) (*message.Message, error) {
	msg, err := toNATS(subject, m)
	if err != nil {
		return nil, err
	}
	return fromNATS(msg)
}
