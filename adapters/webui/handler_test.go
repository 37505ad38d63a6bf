package webui_test

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-dev/leat/adapters/webui"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	webui.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return string(b)
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

func TestIndexIsServedAndCheckedEachTime(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/index.html"} {
		res := get(t, http.MethodGet, path)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
		require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'self'")
		require.Contains(t, body(t, res), "<title>Leat</title>")

		etag := res.Header.Get("ETag")
		require.NotEmpty(t, etag)
		again := get(t, http.MethodGet, path, "If-None-Match", etag)
		require.Equal(t, http.StatusNotModified, again.StatusCode)
		require.Empty(t, body(t, again))
	}
}

func TestEveryFileTheIndexNamesIsServed(t *testing.T) {
	t.Parallel()
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	}
	found := map[string]bool{}
	for _, m := range reference.FindAllStringSubmatch(body(t, get(t, http.MethodGet, "/")), -1) {
		path := m[1]
		require.True(t, strings.HasPrefix(path, "/"), "got %s, want a path on this server", path)
		res := get(t, http.MethodGet, path)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Equal(t, types[filepath.Ext(path)], res.Header.Get("Content-Type"), path)
		want := "no-cache"
		if strings.HasPrefix(path, "/assets/") {
			want = "public, max-age=31536000, immutable"
		}
		require.Equal(t, want, res.Header.Get("Cache-Control"), path)
		require.NotEmpty(t, body(t, res), path)
		found[filepath.Ext(path)] = true
	}
	require.Equal(t, map[string]bool{".js": true, ".css": true, ".svg": true}, found)
	require.Equal(t, http.StatusOK, get(t, http.MethodGet, "/mail.css").StatusCode, "mails are laid out by it")
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/nothing", "/assets/", "/assets/nothing.js", "/dist/index.html", "/assets/../index.html", "/v1/events"} {
		require.Equal(t, http.StatusNotFound, get(t, http.MethodGet, path).StatusCode, path)
	}
	res := get(t, http.MethodPost, "/")
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))

	head := get(t, http.MethodHead, "/")
	require.Equal(t, http.StatusOK, head.StatusCode)
	require.Empty(t, body(t, head))
}

func TestAPolicyThatIsSetAlreadyStays(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	webui.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, []string{"default-src 'none'"}, w.Result().Header.Values("Content-Security-Policy"))
}

// The policy refuses inline scripts and styles, data: addresses and everything from elsewhere: what
// the build writes must have none of it, or the page breaks in the browser only.
func TestNothingInlineAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := regexp.MustCompile(`(?:https?|wss?)://[^"'` + "`" + `\s)<]+`)
	namespaces := map[string]bool{
		"http://www.w3.org/2000/svg": true, "http://www.w3.org/1999/xhtml": true, "http://www.w3.org/1998/Math/MathML": true,
	}
	for _, name := range built(t) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, url := range elsewhere.FindAllString(string(b), -1) {
			require.True(t, namespaces[url], "%s: got %s, want nothing from elsewhere", name, url)
		}
		require.NotContains(t, string(b), "url(data:", name)
	}

	index := body(t, get(t, http.MethodGet, "/"))
	require.NotContains(t, index, "<style")
	require.NotContains(t, index, " style=")
	require.NotRegexp(t, `<script(?:\s[^>]*)?>[^<]`, index)
	require.NotRegexp(t, `\son[a-z]+=`, index)
}

func TestThePageIsSmall(t *testing.T) {
	t.Parallel()
	const most = 80 << 10
	total := 0
	for _, name := range built(t) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		n := counter(0)
		z := gzip.NewWriter(&n)
		_, err = z.Write(b)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		total += int(n)
	}
	require.Less(t, total, most, "bytes of all files, each compressed by gzip")
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func built(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir("dist", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	require.NotEmpty(t, names)
	return names
}
