package natsbus

import (
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/bus"
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

// ReadAck judges an answer of the stream.
func ReadAck(header nats.Header, data string) error {
	return readAck(&nats.Msg{Header: header, Data: []byte(data)})
}

// TwoWays returns the message of each entry as it is published and as watermill-nats makes it.
func TwoWays(entries ...bus.Entry) (published, stock []*nats.Msg, err error) {
	var f form
	for _, e := range entries {
		one := &nats.Msg{}
		if err := f.write(one, e, ""); err != nil {
			return nil, nil, err
		}
		one.Header = maps.Clone(one.Header)
		for name, values := range one.Header {
			one.Header[name] = slices.Clone(values)
		}
		two, err := toNATS(Subject(e.Envelope), bus.Encode(e))
		if err != nil {
			return nil, nil, err
		}
		published, stock = append(published, one), append(stock, two)
	}
	return published, stock, nil
}

// There and back again is what becomes of a message on its way.
func ThereAndBack(subject string, m *message.Message) (*message.Message, error) {
	msg, err := toNATS(subject, m)
	if err != nil {
		return nil, err
	}
	return fromNATS(msg)
}
