package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

const token = "0123456789abcdef0123456789abcdef"

// newAPI returns the internal listener with an API, and the server that it speaks for.
func newAPI(t *testing.T) (http.Handler, *server.Server) {
	t.Helper()
	h, io, _ := newAPIOf(t)
	return h, io
}

// newAPIOf also returns the broker.
func newAPIOf(t *testing.T) (http.Handler, *server.Server, *queues.Broker) {
	t.Helper()
	store := memqueue.New(memqueue.Config{})
	broker, err := queues.NewBroker(t.Context(), queues.BrokerConfig{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	io, stop := newIO(t, server.Config{})
	t.Cleanup(func() {
		stop()
		if err := broker.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		_ = store.Close()
	})
	registry := Metrics(io.Stats, "v")
	registry.MustRegister(QueueMetrics(broker))
	var ready Readiness
	return NewInternal(Internal{
		Metrics: registry, Ready: &ready, API: &API{Token: token, IO: io, Broker: broker},
	}), io, broker
}

func ask(h http.Handler, method, path, body, auth string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAPIToken(t *testing.T) {
	h, _ := newAPI(t)
	for _, auth := range []string{"", token, "Bearer ", "Bearer x", "bearer " + token, "Bearer " + token + " ", "Basic " + token} {
		if w := ask(h, "GET", "/api/queues", "", auth); w.Code != 401 || !strings.Contains(w.Body.String(), `"unauthorized"`) {
			t.Errorf("%q: %d %s", auth, w.Code, w.Body)
		}
	}
	routes := 0
	for _, r := range h.(*gin.Engine).Routes() {
		if !strings.HasPrefix(r.Path, "/api/") {
			continue
		}
		routes++
		path := strings.ReplaceAll(r.Path, ":queue", "q")
		for _, auth := range []string{"", "Bearer " + strings.Repeat("x", len(token))} {
			if w := ask(h, r.Method, path, `{}`, auth); w.Code != 401 {
				t.Errorf("%s %s with %q: %d %s", r.Method, path, auth, w.Code, w.Body)
			}
		}
		if w := ask(h, r.Method, path, `{}`, "Bearer "+token); w.Code == 401 || w.Code == 403 {
			t.Errorf("%s %s with the token: %d %s", r.Method, path, w.Code, w.Body)
		}
	}
	if routes != 14 {
		t.Errorf("%d routes", routes)
	}
	none := NewInternal(Internal{Metrics: Metrics(nil, "v"), Ready: &Readiness{}, API: &API{}})
	if w := ask(none, "GET", "/api/queues", "", "Bearer "); w.Code != 401 {
		t.Errorf("an API without a token: %d", w.Code)
	}
}

func TestAPIQueues(t *testing.T) {
	h, _ := newAPI(t)
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/api/queues/q", "", 404, `"not_found"`},
		{"PUT", "/api/queues/q", `{"maxLen":3,"maxFailures":1}`, 200, `{"ok":true}`},
		{"PUT", "/api/queues/q", `{"maxlen":3,"nonsense":1}`, 400, `nonsense`},
		{"PUT", "/api/queues/no%20name", `{}`, 400, `"bad_request"`},
		{"POST", "/api/queues/q/messages", `{"data":{"n":1},"id":"a"}`, 200, `{"ok":true,"id":"a","seq":1}`},
		{"POST", "/api/queues/q/messages", `{"data":{"n":1},"id":"a"}`, 200, `"duplicate":true`},
		{"POST", "/api/queues/q/messages", `{"messages":[{"data":2},{"data":3},{"data":4}]}`, 200, `"queue_full"`},
		{"POST", "/api/queues/q/messages", `{"data":5}`, 429, `the queue or inbox is full`},
		{"POST", "/api/queues/q/messages", `{}`, 400, `the message has no data`},
		{"POST", "/api/queues/q/messages", `{`, 400, `"bad_request"`},
		{"POST", "/api/queues/q/messages", `{"data":1,"delay":"soon"}`, 400, `"the body: delay can't be a string"`},
		{"POST", "/api/queues/q/messages", `{"messages":[{"data":1},{"id":5}]}`, 400, `"the body: messages.id can't be a number"`},
		{"POST", "/api/queues/q/messages", `[]`, 400, `"the body: an object is needed, not an array"`},
		{"POST", "/api/queues/q/messages", `{"messages":[{"data":1},{"id":"b"}]}`, 200, `the message has no data`},
		{"PUT", "/api/queues/q", `{"leaseMs":"1s"}`, 400, `"config: leaseMs can't be a string"`},
		{"GET", "/api/queues/none/messages", "", 404, `"there is no queue none"`},
		{"GET", "/api/queues/q/messages?n=-1", "", 400, `negative`},
		{"POST", "/api/queues/q/messages", strings.Repeat(" ", 9<<20), 413, `"too_large"`},
		{"GET", "/api/queues/q/messages?n=1", "", 200, `"data":{"n":1}`},
		{"GET", "/api/queues/q/messages?n=x", "", 400, `n isn't a number`},
		{"GET", "/api/queues/q/messages?state=done", "", 400, `ready, scheduled, leased, blocked or dead`},
		{"POST", "/api/queues/q/redrive", `{"rate":-1}`, 400, `rate`},
		{"GET", "/api/queue", "", 404, `"not_found"`},
		{"PATCH", "/api/queues/q", "", 404, `"not_found"`},
		{"GET", "/api/queues/q", "", 200, `"ready":3`},
		{"GET", "/api/queues/q", "", 200, `"maxFailures":1,`},
		{"GET", "/api/queues/q", "", 200, `"leaseMs":30000,`},
		{"POST", "/api/queues/q/pause", `{"publish":true}`, 200, `{"ok":true}`},
		{"GET", "/api/queues", "", 200, `"paused":"publish"`},
		{"POST", "/api/queues/q/messages", `{"data":5}`, 409, `publishing is paused`},
		{"POST", "/api/queues/q/pause", `{"publish":false}`, 200, `{"ok":true}`}, // says nothing of consuming
		{"GET", "/api/queues", "", 200, `"paused":"publish"`},
		{"PUT", "/api/queues/$fanout", `{"maxFailures":1}`, 400, `"bad_request"`},
		{"DELETE", "/api/queues/$fanout?force=true", ``, 400, `"bad_request"`},
		{"POST", "/api/queues/q/resume", ``, 200, `{"ok":true}`},
		{"POST", "/api/queues/q/purge", ``, 200, `{"ok":true,"n":3}`},
		{"POST", "/api/queues/q/redrive", ``, 200, `{"ok":true,"n":0}`},
		{"DELETE", "/api/queues/q", "", 200, `{"ok":true}`},
		{"GET", "/api/queues", "", 200, `{"ok":true,"queues":[]}`},
		{"POST", "/api/inboxes", `{"to":["ada","Ada L."],"data":"hi"}`, 200, `"ada":1`},
		{"POST", "/api/inboxes", `{"topic":"news","data":"hi"}`, 200, `"tseq":1`},
		{"POST", "/api/inboxes", `{"data":"hi"}`, 400, `either to or topic`},
		{"GET", "/api/inboxes?inbox=Ada%20L.", "", 200, `"len":1`},
		{"DELETE", "/api/inboxes?inbox=ada", "", 200, `{"ok":true}`},
		{"GET", "/api/inboxes?inbox=ada", "", 200, `"len":0`},
	} {
		w := ask(h, step.method, step.path, step.body, "Bearer "+token)
		if w.Code != step.status || !strings.Contains(sorted(w.Body.String()), step.want) && !strings.Contains(w.Body.String(), step.want) {
			t.Errorf("%s %s %.60s: %d %s, want %d %s", step.method, step.path, step.body, w.Code, w.Body, step.status, step.want)
		}
	}
}

// A queue that is being worked on is deleted by force only.
func TestAPIDelete(t *testing.T) {
	h, _, broker := newAPIOf(t)
	try := func(path string, status int, want string) {
		t.Helper()
		if w := ask(h, "DELETE", path, "", "Bearer "+token); w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("DELETE %s: %d %s, want %d %s", path, w.Code, w.Body, status, want)
		}
	}
	try("/api/queues/q", 404, `"not_found"`)
	ask(h, "PUT", "/api/queues/q", `{}`, "Bearer "+token)
	ask(h, "POST", "/api/queues/q/messages", `{"data":1}`, "Bearer "+token)
	got, closed := make(chan struct{}, 1), make(chan error, 1)
	c, err := broker.Consume(t.Context(), "q", queues.ConsumerConfig{
		Deliver: func([]*queues.Message) { got <- struct{}{} }, Closed: func(err error) { closed <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	<-got
	try("/api/queues/q", 409, "being processed")
	try("/api/queues/q?force=true", 200, `{"ok":true}`)
	if err := <-closed; queues.CodeOf(err) != queues.CodeNotFound {
		t.Error("the consumer was told", err)
	}
}

// sorted brings an answer's members into the order of the tests.
func sorted(body string) string {
	var v map[string]any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	ok := v["ok"]
	delete(v, "ok")
	rest, _ := json.Marshal(v)
	head, _ := json.Marshal(map[string]any{"ok": ok})
	if len(rest) == 2 {
		return string(head)
	}
	return strings.TrimSuffix(string(head), "}") + "," + string(rest[1:])
}

func TestAPIEmit(t *testing.T) {
	h, io := newAPI(t)
	joined := make(chan error, 1)
	io.Of("/").OnConnect(func(_ context.Context, s *server.Socket) error {
		joined <- s.Join("lobby")
		return nil
	})
	c := servertest.Serve(t, io).Connect("/")
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	if w := ask(h, "POST", "/api/emit", `{"rooms":["lobby"],"event":"news","args":[{"n":1},"two"]}`, "Bearer "+token); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var v struct{ N int }
	var two string
	c.Expect("news").Decode(&v, &two)
	if v.N != 1 || two != "two" {
		t.Errorf("%+v %q", v, two)
	}
	for body, status := range map[string]int{
		`{"rooms":["lobby"]}`:                          400,
		`{"event":"connect"}`:                          400,
		`{"namespace":"/none","event":"x"}`:            404,
		`{"event":"x","except":["lobby"]}`:             200,
		`{"event":"x","args":"not a list"}`:            400,
		`{"event":"` + strings.Repeat("x", 129) + `"}`: 400,
	} {
		if w := ask(h, "POST", "/api/emit", body, "Bearer "+token); w.Code != status {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	apart := NewInternal(Internal{API: &API{Token: token, IO: io, Apart: func() string { return "Redis doesn't answer" }},
		Metrics: Metrics(io.Stats, "v"), Ready: &Readiness{}})
	w := ask(apart, "POST", "/api/emit", `{"event":"news"}`, "Bearer "+token)
	if w.Code != 503 || w.Body.String() != `{"ok":false,"code":"unavailable","message":"Redis doesn't answer: nothing was sent"}` {
		t.Errorf("to other nodes, which can't be reached: %d %s", w.Code, w.Body)
	}
	if n := c.Pending(); n != 0 {
		t.Errorf("%d events came that were for others", n)
	}
}

func TestQueueMetrics(t *testing.T) {
	h, _ := newAPI(t)
	ask(h, "PUT", "/api/queues/q", `{}`, "Bearer "+token)
	ask(h, "POST", "/api/queues/q/messages", `{"data":"12345"}`, "Bearer "+token)
	body := ask(h, "GET", "/metrics", "", "").Body.String()
	for _, want := range []string{
		"roomcast_queues_up 1",
		"roomcast_queues_full 0",
		`roomcast_queue_messages{queue="q",state="ready"} 1`,
		`roomcast_queue_bytes{queue="q"} 7`,
		`roomcast_queue_events_total{event="published",queue="q"} 1`,
		`roomcast_queues_rejected_total{reason="send_rate"} 0`,
		`roomcast_queues_rejected_total{reason="store_full"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}
