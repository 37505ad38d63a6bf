package natsbus

import (
	"fmt"
	"strings"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/leat-dev/leat/app/event"
)

// wanted is what a server must accept in one message so that every event can travel: the data and
// its attributes, each of which may grow threefold when it is encoded.
const wanted = event.MaxData + 16<<10

// cePrefix begins the headers whose values CloudEvents has percent-encoded.
const cePrefix = "ce-"

var marshaler wmnats.NATSMarshaler

// toNATS writes a message as watermill-nats does, with the values of CloudEvents headers encoded.
func toNATS(subject string, m *message.Message) (*nats.Msg, error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	msg, err := marshaler.Marshal(subject, m)
	if err != nil {
		return nil, err
	}
	for name, values := range msg.Header {
		if strings.HasPrefix(name, cePrefix) {
			for i := range values {
				values[i] = encode(values[i])
			}
		}
	}
	return msg, nil
}

// fromNATS reads a message that toNATS or another CloudEvents producer wrote.
func fromNATS(msg *nats.Msg) (*message.Message, error) {
	m, err := marshaler.Unmarshal(msg)
	if err != nil {
		return nil, fmt.Errorf("read a NATS message: %w", err)
	}
	for name, value := range m.Metadata {
		if strings.HasPrefix(name, cePrefix) {
			m.Metadata[name] = decode(value)
		}
	}
	return m, nil
}

func mustEncode(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

const digits = "0123456789ABCDEF"

func encode(s string) string {
	n := 0
	for i := 0; i < len(s); i++ {
		if mustEncode(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := 0; i < len(s); i++ {
		if c := s[i]; mustEncode(c) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decode leaves what is not encoded as it is.
func decode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := unhex(s[i+1]), unhex(s[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
