package postgres

import "sync"

// Topics that the store itself announces. Other parts of a program add their own.
const (
	TopicLog    = "log"    // positions were given
	TopicLanes  = "lanes"  // the processes that work a set are others, or a lane was let go of
	TopicSettle = "settle" // somebody other than a lane's owner changed what lanes must see
	TopicCommit = "commit" // this process committed something; never told to others

	topicUnsequenced = "unsequenced" // this process committed an append; never told to others
)

// Changed returns a channel that is closed some time after the next commit in which Touch was
// called with the topic: at once when it was in this process, a little later when in another one,
// and not at all when the notification was lost. Take it before reading, wait on it after having
// read everything, and poll as well.
func (db *DB) Changed(topic string) <-chan struct{} { return db.topics.channel(topic) }

// Appended implements eventlog.Log: it is closed when new positions are visible.
func (db *DB) Appended() <-chan struct{} { return db.Changed(TopicLog) }

// LanesChanged implements settle.Store.
func (db *DB) LanesChanged() <-chan struct{} { return db.Changed(TopicLanes) }

// ParkedChanged implements settle.Store.
func (db *DB) ParkedChanged() <-chan struct{} { return db.Changed(TopicSettle) }

type topics struct {
	mu       sync.Mutex
	channels map[string]chan struct{} // of the topics that somebody waits for
	head     int64                    // the last position that is known to be visible
}

func (s *topics) channel(topic string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.channels[topic]
	if !ok {
		c = make(chan struct{})
		s.channels[topic] = c
	}
	return c
}

func (s *topics) announce(topics ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, topic := range topics {
		s.close(topic)
	}
}

// announceAll closes every channel but the log's, whose head tells whether there is news, and those
// of topics that are never told to others.
func (s *topics) announceAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic := range s.channels {
		if topic != TopicLog && topic != TopicCommit && topic != topicUnsequenced {
			s.close(topic)
		}
	}
}

// saw is told of every position that was found to be visible. The channel of the log is closed
// once for each step ahead, whoever noticed it first: the sequencer, a notification or a reader.
func (s *topics) saw(position int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if position > s.head {
		s.head = position
		s.close(TopicLog)
	}
}

func (s *topics) close(topic string) {
	if c, ok := s.channels[topic]; ok {
		close(c)
		delete(s.channels, topic)
	}
}
