package server_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

func TestClientFiles(t *testing.T) {
	const script = "/*!\n * Socket.IO v4.8.4\n */\nio()"
	io_, err := server.New(server.Config{ClientFiles: fstest.MapFS{
		"socket.io.min.js":     {Data: []byte(script)},
		"socket.io.min.js.map": {Data: []byte("{}")},
		"secret.txt":           {Data: []byte("no")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer io_.Shutdown(t.Context())
	get := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		io_.ServeHTTP(w, r)
		return w.Result()
	}
	for _, test := range []struct {
		path, accept, encoding, kind string
		status                       int
	}{
		{"/socket.io/socket.io.min.js", "", "", "application/javascript; charset=utf-8", 200},
		{"/socket.io/socket.io.min.js?v=1", "gzip, br;q=0.5", "gzip", "application/javascript; charset=utf-8", 200},
		{"/socket.io/socket.io.min.js", "deflate", "deflate", "application/javascript; charset=utf-8", 200},
		{"/socket.io/socket.io.min.js", "*", "br", "application/javascript; charset=utf-8", 200},
		{"/socket.io/socket.io.min.js.map", "", "", "application/json; charset=utf-8", 200},
		{"/socket.io/secret.txt", "", "", "application/json", 400},
		{"/socket.io/socket.io.js", "", "", "application/json", 400}, // not in the folder
		{"/other", "", "", "text/plain; charset=utf-8", 404},
	} {
		resp := get(test.path, "Accept-Encoding", test.accept)
		if resp.StatusCode != test.status || resp.Header.Get("Content-Encoding") != test.encoding || resp.Header.Get("Content-Type") != test.kind {
			t.Errorf("%s, accepting %q: %d, %v", test.path, test.accept, resp.StatusCode, resp.Header)
		}
		if test.status == 200 && resp.Header.Get("Etag") != `"4.8.4"` {
			t.Errorf("%s: ETag %s", test.path, resp.Header.Get("Etag"))
		}
		if test.encoding == "gzip" {
			z, err := gzip.NewReader(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(z); string(b) != script {
				t.Errorf("gzip: %q", b)
			}
		}
	}
	for _, tag := range []string{`"4.8.4"`, `W/"4.8.4"`} {
		if resp := get("/socket.io/socket.io.min.js", "If-None-Match", tag); resp.StatusCode != 304 {
			t.Errorf("If-None-Match %s: %d", tag, resp.StatusCode)
		}
	}
}

// server-attachment.ts, "should serve client with necessary CORS headers": it had none.
func TestClientFilesForOtherOrigins(t *testing.T) {
	const friend = "https://friend.example"
	io, err := server.New(server.Config{
		ClientFiles: fstest.MapFS{"socket.io.min.js": {Data: []byte("/* Socket.IO v4\n */io()")}},
		Engine:      engine.Config{Origins: []string{friend}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer io.Shutdown(t.Context())
	for _, test := range []struct {
		method, origin, tag string
		status              int
		allowed             string
	}{
		{"GET", friend, "", 200, friend},
		{"GET", "https://enemy.example", "", 200, ""}, // as a script it may be loaded from anywhere
		{"OPTIONS", friend, "", 204, friend},
		{"GET", friend, `"4"`, 304, friend},
	} {
		r := httptest.NewRequest(test.method, "/socket.io/socket.io.min.js", nil)
		r.Header.Set("Origin", test.origin)
		r.Header.Set("If-None-Match", test.tag)
		w := httptest.NewRecorder()
		io.ServeHTTP(w, r)
		if h := w.Result().Header; w.Code != test.status || h.Get("Access-Control-Allow-Origin") != test.allowed || h.Get("Vary") == "" {
			t.Errorf("%v: %d, %v", test, w.Code, h)
		}
	}
}
