package load

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
)

// send makes a request on behalf of a tenant. An error says that it is not known what came of it.
func (l *Load) send(ctx context.Context, method, path, tenant string, body any) (status int, answer []byte, err error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.target()+path, payload)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Leat-Tenant", tenant)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
