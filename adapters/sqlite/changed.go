package sqlite

import "sync"

// Topics that the store itself announces. Other parts of a program add their own.
const (
	TopicLog    = "log"    // events were appended
	TopicLanes  = "lanes"  // the processes that work a set are others, or a lane was let go of
	TopicSettle = "settle" // somebody other than a lane's owner changed what lanes must see
	TopicCommit = "commit" // something was committed
)

// Changed returns a channel that is closed at the next commit in which Touch was called with the
// topic. Take it before reading, and wait on it after having read everything. The topic "commit"
// is touched by every commit.
func (db *DB) Changed(topic string) <-chan struct{} { return db.topics.channel(topic) }

// Appended implements eventlog.Log.
func (db *DB) Appended() <-chan struct{} { return db.Changed(TopicLog) }

// LanesChanged implements settle.Store.
func (db *DB) LanesChanged() <-chan struct{} { return db.Changed(TopicLanes) }

// ParkedChanged implements settle.Store.
func (db *DB) ParkedChanged() <-chan struct{} { return db.Changed(TopicSettle) }

type topics struct {
	mu       sync.Mutex
	channels map[string]chan struct{} // of the topics that somebody waits for
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

func (s *topics) announce(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(topic)
}

// committed announces the topics of all the batch.
func (s *topics) committed(batch []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(TopicCommit)
	for _, r := range batch {
		for _, topic := range r.touched {
			s.close(topic)
		}
	}
}

func (s *topics) close(topic string) {
	if c, ok := s.channels[topic]; ok {
		close(c)
		delete(s.channels, topic)
	}
}
