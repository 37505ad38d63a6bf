package httpapi_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/httpapi"
)

// FuzzQueries holds that no query, cursor or id in a path makes the server fail: the answer is a page, or an
// error that says whose fault it is.
func FuzzQueries(f *testing.F) {
	f.Add("cursor=9&limit=2&type=build.*&from=2025-05-20T10:00:00Z", "evt-7")
	f.Add("cursor=-1", "audit.7")
	f.Add("cursor=99999999999999999999&limit=0", "..")
	f.Add("cursor=%00&type=%ff,,&limit=501&state=x", "a%2Fb")
	f.Add("cursor=ZW1haWw6MQ&status=sent&set=audit&subject=;&correlation=&to=yesterday", "audit.")
	b := setup()
	server := b.server(f)
	f.Fuzz(func(t *testing.T, query, id string) {
		if _, err := url.ParseRequestURI("/v1/events?" + query); err != nil {
			return // no request could bring it
		}
		id = url.PathEscape(id)
		for _, path := range []string{
			"/v1/events", "/v1/audit", "/v1/emails", "/v1/dead-letters",
			"/v1/events/" + id, "/v1/events/" + id + "/deliveries", "/v1/dead-letters/" + id,
		} {
			target, err := url.ParseRequestURI(path + "?" + query)
			if err != nil {
				continue
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.Host, r.URL, r.RequestURI = "127.0.0.1", target, target.RequestURI()
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, r)
			require.Less(t, w.Code, 500, "%s: %s", path, w.Body)
			if w.Code < 400 {
				continue
			}
			var answer httpapi.ErrorBody
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), "%s: %d %s", path, w.Code, w.Body)
			require.NotEmpty(t, answer.ErrorCode)
		}
	})
}
