package webui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy lets the page load from its own server only; what is shown in frames (mails) inherits it. It
// stands in when the server around this handler sets none.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Files under assets/ carry a hash of their content in their name: under one name, they never change.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheChecked = "no-cache"
)

// contentTypes names every type of file that the build writes. The types are not asked of the
// operating system: its table differs from machine to machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

type file struct {
	contentType  string
	cacheControl string
	etag         string
	body         []byte
}

// Handler serves the page at "/" and its files below it. Every other path is 404, every method but
// GET and HEAD is 405. A panic here means that the build wrote a type of file that has no content
// type yet, which the test of this package finds first.
func Handler() http.Handler {
	files, err := load(dist)
	if err != nil {
		panic(err)
	}
	return pages(files)
}

func load(fsys fs.FS) (map[string]file, error) {
	files := map[string]file{}
	err := fs.WalkDir(fsys, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("web page: no content type for %s", name)
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := file{contentType: contentType, cacheControl: cacheChecked, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, body: body}
		url := strings.TrimPrefix(name, "dist")
		if strings.HasPrefix(url, "/assets/") {
			f.cacheControl = cacheForever
		}
		files[url] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, ok := files["/index.html"]
	if !ok {
		return nil, fmt.Errorf("web page: dist has no index.html")
	}
	files["/"] = index
	return files, nil
}

type pages map[string]file

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := p[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cacheControl)
	h.Set("ETag", f.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", policy)
	}
	// Answers If-None-Match, HEAD and ranges; the zero time leaves Last-Modified out.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

var _ http.Handler = pages(nil)
