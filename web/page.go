package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// built has the page, if it is built. The pattern matches ui/dist, and also
// ui/public: that is always there, so a fresh clone compiles without Node.
//
//go:embed all:ui/[dp][iu][sb]*
var built embed.FS

//go:embed unbuilt.html
var unbuilt []byte

// policy lets the page load what it brings, connect to its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type file struct {
	body      []byte
	mime      string
	etag      string
	immutable bool // its name changes with its content
}

// page serves a folder of files from memory. Paths that it hasn't got are 404.
type page map[string]file // by URL path

// Page returns the handler of the embedded page. If the page isn't built, it
// says how to.
func Page() http.Handler {
	if dist, err := fs.Sub(built, "ui/dist"); err == nil {
		if p, err := newPage(dist); err == nil && p["/"].body != nil {
			return p
		}
	}
	return page{"/": newFile("unbuilt.html", unbuilt)}
}

// ClientFiles has the bundles of the JavaScript client, for
// server.Config.ClientFiles: those that scripts/build has taken from npm. It is
// nil if the page isn't built.
func ClientFiles() fs.FS {
	files, err := fs.Sub(built, "ui/dist/.client")
	if err != nil {
		return nil
	}
	if _, err := fs.Stat(files, "socket.io.min.js"); err != nil {
		return nil
	}
	return files
}

func newPage(dir fs.FS) (page, error) {
	p := make(page)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		if name == "index.html" {
			p["/"] = newFile(name, body)
			return nil
		}
		p["/"+name] = newFile(name, body)
		return nil
	})
	return p, err
}

func newFile(name string, body []byte) file {
	sum := sha256.Sum256(body)
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // what a machine's own tables may lack or get wrong
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".woff2":
		kind = "font/woff2"
	case ".webmanifest":
		kind = "application/manifest+json"
	case "":
		kind = "application/octet-stream"
	}
	return file{body, kind, strconv.Quote(hex.EncodeToString(sum[:12])), strings.HasPrefix(name, "assets/")}
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	f, ok := p[r.URL.Path]
	switch {
	case !ok:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case f.immutable:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		h.Set("Cache-Control", "no-cache")
	}
	h.Set("ETag", f.etag)
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.mime)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.body)
	}
}
