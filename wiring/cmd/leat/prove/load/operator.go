package load

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Operator gives dead letters back, and prunes the log while that is wanted, until ctx ends. A
// letter is given back at most twice: poison stays one.
func (l *Load) Operator(ctx context.Context, prune func() bool) {
	given := map[string]int{}
	for ctx.Err() == nil {
		for _, tenant := range l.cfg.Tenants {
			if l.target() != "" {
				l.giveBack(ctx, tenant, given)
			}
		}
		if prune() && l.target() != "" {
			_, _, _ = l.send(ctx, http.MethodPost, "/v1/ledger/prune?limit=50", l.cfg.Tenants[0], nil)
		}
		wait(ctx, 30*time.Millisecond)
	}
}

func (l *Load) giveBack(ctx context.Context, tenant string, given map[string]int) {
	_, body, err := l.send(ctx, http.MethodGet, "/v1/dead-letters?state=open&limit=100", tenant, nil)
	var page struct {
		DeadLetters []struct{ ID string }
	}
	if err != nil || json.Unmarshal(body, &page) != nil {
		return
	}
	for _, letter := range page.DeadLetters {
		if given[tenant+letter.ID] < 2 {
			given[tenant+letter.ID]++
			_, _, _ = l.send(ctx, http.MethodPost, "/v1/dead-letters/"+letter.ID+"/retry", tenant, nil)
		}
	}
}
