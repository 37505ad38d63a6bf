package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
)

// answers keeps what the program said when it did not say yes.
type answers struct {
	mu      sync.Mutex
	refused map[string]int
	odd     []string
}

// mostOdd is how many answers are kept that should not have been given.
const mostOdd = 20

func (a *answers) note(one *call, status int, body []byte, err error) {
	if err != nil || status < http.StatusInternalServerError {
		return
	}
	var said struct{ ErrorCode, Message string }
	_ = json.Unmarshal(body, &said) // what cannot be read is odd
	a.mu.Lock()
	defer a.mu.Unlock()
	if status == http.StatusServiceUnavailable && said.ErrorCode != "" && said.Message != "" {
		if a.refused == nil {
			a.refused = map[string]int{}
		}
		a.refused[said.ErrorCode]++
	} else if len(a.odd) < mostOdd {
		a.odd = append(a.odd, fmt.Sprintf("%s %s: %d %s", one.method, one.path, status, body))
	}
}

// Refused counts the answers 503 that give a reason, by its code.
func (l *Load) Refused() map[string]int {
	l.answers.mu.Lock()
	defer l.answers.mu.Unlock()
	return maps.Clone(l.answers.refused)
}

// Odd returns answers that say that something went wrong and not that it may be tried again: what fails
// because of something else is answered by 503 and the reason.
func (l *Load) Odd() []string {
	l.answers.mu.Lock()
	defer l.answers.mu.Unlock()
	return append([]string(nil), l.answers.odd...)
}
