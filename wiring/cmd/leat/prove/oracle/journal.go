package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Intent is what a client is about to ask for.
type Intent struct {
	// ID is the event's; of a command, whose event gets its id from the server, the text that the
	// client puts into the aggregate.
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Type   string `json:"type"` // of the event that this leads to
	Key    string `json:"key,omitempty"`
	Email  string `json:"email,omitempty"` // gets a mail about it
	Batch  string `json:"batch,omitempty"` // all that is named alike is accepted, or none
	Poison bool   `json:"poison,omitempty"`
	Fails  bool   `json:"fails,omitempty"` // attempts at it fail, poison or not
	Stray  bool   `json:"stray,omitempty"` // a message that cannot become an event
	Aside  bool   `json:"aside,omitempty"` // it was given to another stream than the log, which gets it later
}

// Outcome is what a client knows about an intent.
type Outcome string

// What clients can know. An intent may be asked for again: the last word counts, save that what
// was accepted stays so.
const (
	Unknown  Outcome = "unknown" // no answer, or one that leaves it open; also before any
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused" // the answer was a clear no
)

// Journal is the file of one client. It is safe for concurrent use, but the order of its lines
// means something only when the client does one thing after the other.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

// OpenJournal opens or goes on with the journal of a client in a folder.
func OpenJournal(dir, client string) (*Journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, client+".journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Journal{file: f}, nil
}

type line struct {
	Intent  *Intent  `json:"intent,omitempty"`
	Outcome Outcome  `json:"outcome,omitempty"`
	IDs     []string `json:"ids,omitempty"`
	// Recorded is what the receipt says of when the event was accepted, in microseconds.
	Recorded int64 `json:"recorded,omitempty"`
}

// Intend notes what is about to be asked for. Ask only when it has returned.
func (j *Journal) Intend(intents ...Intent) error {
	lines := make([]line, len(intents))
	for i := range intents {
		lines[i].Intent = &intents[i]
	}
	return j.write(lines...)
}

// Note notes what became of intents.
func (j *Journal) Note(o Outcome, ids ...string) error {
	return j.write(line{Outcome: o, IDs: ids})
}

// NoteReceipt notes that an intent was accepted, and when its receipt says that it was.
func (j *Journal) NoteReceipt(id string, recorded int64) error {
	return j.write(line{Outcome: Accepted, IDs: []string{id}, Recorded: recorded})
}

func (j *Journal) write(lines ...line) error {
	var text []byte
	for _, l := range lines {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = append(append(text, b...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.file.Write(text)
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// Told is an intent with what its client knows of it.
type Told struct {
	Intent
	Outcome Outcome
	Client  string
	// Asked and Answered are the places of the first intent and of the acceptance in the client's
	// journal: what was answered before something else was asked for happened before it.
	Asked, Answered int
	// Doubted says that the client was left in doubt at first.
	Doubted bool
	// Recorded is what its receipt says, 0 where there is none.
	Recorded int64
}

// ReadJournals reads all journals of a folder.
func ReadJournals(dir string) (map[string]*Told, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		return nil, err
	}
	all := map[string]*Told{}
	for _, name := range files {
		if err := readJournal(name, all); err != nil {
			return nil, fmt.Errorf("read the journal %s: %w", name, err)
		}
	}
	return all, nil
}

func readJournal(name string, all map[string]*Told) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for n := 1; scanner.Scan(); n++ {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if l.Intent != nil {
			if _, again := all[l.Intent.ID]; again {
				return fmt.Errorf("line %d: %s was asked for before; an id is used once", n, l.Intent.ID)
			}
			all[l.Intent.ID] = &Told{Intent: *l.Intent, Outcome: Unknown, Client: filepath.Base(name), Asked: n}
		}
		for _, id := range l.IDs {
			told, ok := all[id]
			if !ok {
				return fmt.Errorf("line %d: nobody asked for %s", n, id)
			}
			if told.Outcome != Accepted {
				told.Outcome = l.Outcome
			}
			if l.Outcome == Accepted && told.Answered == 0 {
				told.Answered, told.Recorded = n, l.Recorded
			}
			told.Doubted = told.Doubted || l.Outcome == Unknown
		}
	}
	return scanner.Err()
}
