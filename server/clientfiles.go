package server

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

// clientNames are the bundles that the official server serves, each with its source map.
var clientNames = []string{
	"socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js",
}

// clientFiles serves the JavaScript client. A file is compressed once for each
// encoding that is asked for.
//
// https://socket.io/docs/v4/server-options/#serveclient
type clientFiles struct {
	files fs.FS
	etag  string

	mu   sync.Mutex
	made map[[2]string][]byte // name, encoding -> body
}

func newClientFiles(files fs.FS) *clientFiles {
	c := &clientFiles{files: files, made: map[[2]string][]byte{}}
	var pkg struct {
		Version string `json:"version"`
	}
	if b, err := fs.ReadFile(files, "package.json"); err == nil {
		_ = json.Unmarshal(b, &pkg)
	}
	if pkg.Version == "" {
		pkg.Version = versionOf(files)
	}
	c.etag = strconv.Quote(pkg.Version)
	return c
}

// versionOf is the version that the bundle's first comment tells, or else a sum of the files.
func versionOf(files fs.FS) string {
	b, _ := fs.ReadFile(files, "socket.io.min.js")
	if _, v, ok := strings.Cut(string(b[:min(len(b), 200)]), "Socket.IO v"); ok {
		v, _, _ = strings.Cut(v, "\n")
		return strings.TrimSpace(v)
	}
	sum := sha256.New()
	for _, name := range clientNames {
		b, _ := fs.ReadFile(files, name)
		sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil)[:10])
}

// has reports whether name, below the path, is one of the client's files. c may be nil.
func (c *clientFiles) has(name string) bool {
	if c == nil || !slices.Contains(clientNames, strings.TrimSuffix(name, ".map")) {
		return false
	}
	_, err := fs.Stat(c.files, name)
	return err == nil
}

// serve answers with a file that has reported.
func (c *clientFiles) serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	if match := r.Header.Get("If-None-Match"); match == c.etag || match == "W/"+c.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	encoding := chooseEncoding(r.Header.Get("Accept-Encoding"))
	body, err := c.body(name, encoding)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("Content-Type", "application/javascript; charset=utf-8")
	if strings.HasSuffix(name, ".map") {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	h.Set("ETag", c.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func (c *clientFiles) body(name, encoding string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{name, encoding}
	if b, ok := c.made[key]; ok {
		return b, nil
	}
	plain, err := fs.ReadFile(c.files, name)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	switch encoding {
	case "br":
		z := brotli.NewWriter(&buf)
		_, _ = z.Write(plain)
		_ = z.Close()
	case "gzip":
		z := gzip.NewWriter(&buf)
		_, _ = z.Write(plain)
		_ = z.Close()
	case "deflate":
		z := zlib.NewWriter(&buf)
		_, _ = z.Write(plain)
		_ = z.Close()
	default:
		buf.Write(plain)
	}
	c.made[key] = buf.Bytes()
	return c.made[key], nil
}

// chooseEncoding picks what the client likes best: the highest q, the first
// among equals; "*" stands for br.
func chooseEncoding(accept string) string {
	best, bestQ := "", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64)
		}
		if name == "*" {
			name = "br"
		}
		if q > bestQ && (name == "br" || name == "gzip" || name == "deflate") {
			best, bestQ = name, q
		}
	}
	return best
}
