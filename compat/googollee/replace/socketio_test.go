package socketio_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
	"github.com/googollee/go-socket.io/engineio/transport"
	"github.com/googollee/go-socket.io/engineio/transport/polling"
	"github.com/googollee/go-socket.io/parser"
)

// TestReplaced: a handler, by googollee's import paths, serves a client of each
// revision of the protocol.
func TestReplaced(t *testing.T) {
	server := socketio.NewServer(&engineio.Options{Transports: []transport.Transport{polling.Default}})
	server.OnEvent("/", "twice", func(s socketio.Conn, v string, b *parser.Buffer) string { return v + v })
	go server.Serve()
	defer server.Close()
	hs := httptest.NewServer(server)
	defer hs.Close()

	request := func(method, query, body string) string {
		t.Helper()
		r, err := http.NewRequest(method, hs.URL+"/socket.io/?transport=polling&"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %v, %v", text, resp.Status, err)
		}
		return string(text)
	}
	for revision, packets := range map[string][]string{
		"EIO=3&b64=1": {"", `18:420["twice","abc"]`, `430["abcabc"]`},
		"EIO=4":       {"40", `420["twice","abc"]`, `430["abcabc"]`},
	} {
		_, open, _ := strings.Cut(request("GET", revision, ""), `"sid":"`)
		sid, _, _ := strings.Cut(open, `"`)
		query := revision + "&sid=" + sid
		if packets[0] != "" {
			request("POST", query, packets[0])
		}
		if got := request("GET", query, ""); !strings.Contains(got, "40") {
			t.Errorf("%s: %q instead of the answer to CONNECT", revision, got)
		}
		request("POST", query, packets[1])
		if got := request("GET", query, ""); !strings.Contains(got, packets[2]) {
			t.Errorf("%s: %q", revision, got)
		}
	}
}
