package queueapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a server with queues, in fake time.
type bench struct {
	t      *testing.T
	io     *server.Server
	broker *queues.Broker
	api    *queueapi.API
	http   *servertest.Server
}

// user is who a client says it is; the tests' Authorize knows three kinds.
func user(s *server.Socket) string {
	var auth struct {
		User string `json:"user"`
	}
	_ = s.Handshake().DecodeAuth(&auth)
	return auth.User
}

func allow(_ context.Context, principal string, action queues.Action, name string) error {
	switch {
	case principal == "admin", action == queues.OpenInbox && strings.HasPrefix(name, principal) && principal != "":
		return nil
	case principal == "nobody", principal == "":
		return queues.ErrUnauthorized
	case action == queues.Admin:
		return queues.ErrUnauthorized
	}
	return nil
}

func run(t *testing.T, cfg queueapi.Config, test func(t *testing.T, b *bench)) {
	serve(t, nil, allow, engine.Config{}, cfg, test)
}

func runOn(t *testing.T, e engine.Config, cfg queueapi.Config, test func(t *testing.T, b *bench)) {
	serve(t, nil, allow, e, cfg, test)
}

func runFor(t *testing.T, rule queues.Authorize, cfg queueapi.Config, test func(t *testing.T, b *bench)) {
	serve(t, nil, rule, engine.Config{}, cfg, test)
}

func runWith(t *testing.T, store queues.Store, cfg queueapi.Config, test func(t *testing.T, b *bench)) {
	serve(t, store, allow, engine.Config{}, cfg, test)
}

func serve(t *testing.T, store queues.Store, rule queues.Authorize, e engine.Config, cfg queueapi.Config, test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		if store == nil {
			store = memqueue.New(memqueue.Config{})
		}
		broker, err := queues.NewBroker(t.Context(), queues.BrokerConfig{Store: store, Authorize: rule})
		if err != nil {
			t.Fatal(err)
		}
		e.HandshakeRate = -1
		io, err := server.New(server.Config{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Broker, cfg.Principal = broker, user
		b := &bench{t: t, io: io, broker: broker, http: servertest.Serve(t, io)}
		b.api = queueapi.Open(io.Of("/"), cfg)
		if err := broker.Configure(t.Context(), "q", queues.Config{}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			ctx := context.Background()
			if err := io.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := broker.Close(ctx); err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, b)
	})
}

func (b *bench) client(name string) *client {
	b.t.Helper()
	return &client{b.t, b.http.Connect("/", servertest.Auth(map[string]string{"user": name}))}
}

// client is a stock client as the tests use it.
type client struct {
	t *testing.T
	*servertest.Client
}

type reply struct {
	OK         bool
	Code       string
	Message    string
	RetryAfter int64
	ID         string
	Seq        uint64
	Duplicate  bool
	Consumer   uint64
	LeaseMs    int64
	Resumed    []string
	Results    json.RawMessage
	N          int
	Ready      int
	Leased     int
	Dead       int
	Scheduled  int
	Messages   []queueapi.Shown
	Epoch      uint64
	First      uint64
	Last       uint64
	Acked      uint64
	Recovered  bool
	Reason     string
	Seqs       map[string]uint64
	Tseq       uint64
}

type message struct {
	Queue   string
	ID      string
	R       string
	Attempt int
	Fence   uint64
	LeaseMs int64
	Data    any
	Key     string
	Headers map[string]string
	At      int64
	Epoch   uint64
	Seq     uint64
	Topic   string
}

type m = map[string]any

// ask sends a request and returns the answer, whatever it is.
func (c *client) ask(event string, req any) (r reply) {
	c.t.Helper()
	if err := c.Call(event, req).Decode(0, &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// must is ask for what has to be granted.
func (c *client) must(event string, req any) reply {
	c.t.Helper()
	r := c.ask(event, req)
	if !r.OK {
		c.t.Fatalf("%s %v: %s: %s", event, req, r.Code, r.Message)
	}
	return r
}

func (c *client) message(event string) (*servertest.Event, message) {
	c.t.Helper()
	e := c.Expect(event)
	var v message
	e.Decode(&v)
	return e, v
}

func (c *client) quiet() {
	c.t.Helper()
	synctest.Wait()
	if n := c.Pending(); n > 0 {
		c.t.Fatalf("%d events came, the first is %q", n, c.Next().Name)
	}
}

// TestWork is a message's way: published, handed out, acknowledged.
func TestWork(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		producer, worker := b.client("p"), b.client("w")
		opened := worker.must("queue:consume", m{"queue": "q", "prefetch": 2})
		if opened.LeaseMs != 30_000 || opened.Consumer == 0 {
			t.Errorf("%+v", opened)
		}
		r := producer.must("queue:publish", m{"queue": "q", "id": "a", "key": "k", "headers": m{"h": "1"}, "data": m{"x": 1, "b": []byte{1, 2}}})
		if r.ID != "a" || r.Seq != 1 || r.Duplicate {
			t.Errorf("%+v", r)
		}
		if r := producer.must("queue:publish", m{"queue": "q", "id": "a", "data": 2}); !r.Duplicate || r.Seq != 1 {
			t.Errorf("a second message with the id: %+v", r)
		}
		e := worker.Expect("queue:message")
		var got struct {
			message
			Data struct {
				X int
				B []byte
			}
		}
		e.Decode(&got)
		if got.ID != "a" || got.Queue != "q" || got.Key != "k" || got.Headers["h"] != "1" || got.Attempt != 1 ||
			got.Fence == 0 || got.R == "" || got.Data.X != 1 || !bytes.Equal(got.Data.B, []byte{1, 2}) || got.LeaseMs != 30_000 {
			t.Errorf("%+v", got)
		}
		if st := producer.must("queue:stats", m{"queue": "q"}); st.Leased != 1 || st.Ready != 0 {
			t.Errorf("%+v", st)
		}
		e.Ack()
		synctest.Wait()
		if st := producer.must("queue:stats", m{"queue": "q"}); st.Leased != 0 {
			t.Errorf("after the ack: %+v", st)
		}
		worker.quiet()
	})
}

// TestOutcomes: what the ack says is what happens.
func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		name  string
		ack   any
		again time.Duration // when it is handed out again; negative: never
		dead  int
	}{
		{"nothing", nil, -1, 0},
		{"undefined", []any{}, -1, 0},
		{"nack with delay", m{"nack": true, "delay": 5000, "error": "no"}, 5 * time.Second, 0},
		{"nack at once", m{"nack": true, "delay": 0}, 0, 0},
		{"nack by the queue's backoff", m{"nack": true}, 2 * time.Second, 0},
		{"release", m{"release": true}, 0, 0},
		{"reject", m{"reject": true, "reason": "bad"}, -1, 1},
		{"nonsense", "what?", 2 * time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
				c := b.client("w")
				c.must("queue:consume", m{"queue": "q"})
				c.must("queue:publish", m{"queue": "q", "data": 1})
				e, _ := c.message("queue:message")
				if args, ok := test.ack.([]any); ok {
					e.Ack(args...)
				} else {
					e.Ack(test.ack)
				}
				time.Sleep(test.again + time.Millisecond)
				if test.again >= 0 {
					if _, v := c.message("queue:message"); v.Attempt != 2 {
						t.Errorf("attempt %d", v.Attempt)
					}
					return
				}
				time.Sleep(10 * time.Minute)
				c.quiet()
				st := c.must("queue:stats", m{"queue": "q"})
				if st.Dead != test.dead || st.Ready+st.Leased+st.Scheduled != 0 {
					t.Errorf("%+v", st)
				}
				if test.dead > 0 {
					if p := c.must("queue:peek", m{"queue": "q", "state": "dead"}); p.Messages[0].Error != "bad" || p.Messages[0].Reason != "rejected" {
						t.Errorf("%+v", p.Messages[0])
					}
				}
			})
		})
	}
}

// TestGoneWorker: what a client that goes had is handed to the next at once.
func TestGoneWorker(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		first, second := b.client("w"), b.client("w")
		first.must("queue:consume", m{"queue": "q", "prefetch": 10})
		for i := range 3 {
			first.must("queue:publish", m{"queue": "q", "data": i})
		}
		for range 3 {
			first.message("queue:message")
		}
		second.must("queue:consume", m{"queue": "q", "prefetch": 10})
		second.quiet()
		first.Close()
		synctest.Wait()
		for i := range 3 {
			if _, v := second.message("queue:message"); v.Data != float64(i) || v.Attempt != 2 {
				t.Errorf("message %d: %+v", i, v)
			}
		}
	})
}

// TestSession: a session keeps its messages for its grace, and a client that comes back
// settles them by their receipts.
func TestSession(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		open := m{"queue": "q", "session": "s1", "graceMs": 3000}
		w, other := b.client("w"), b.client("w2")
		w.must("queue:consume", open)
		w.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := w.message("queue:message")
		theirs := other.must("queue:consume", m{"queue": "q"}).Consumer
		w.Close()
		time.Sleep(2 * time.Second)
		other.quiet()
		w = b.client("w")
		if r := w.must("queue:consume", open); len(r.Resumed) != 1 || r.Resumed[0] != v.R {
			t.Fatalf("resumed %v, had %s", r.Resumed, v.R)
		}
		r := w.must("queue:settle", m{"ack": []string{v.R}})
		if string(r.Results) != `{"`+v.R+`":"ok"}` {
			t.Errorf("%s", r.Results)
		}
		if r := w.must("queue:settle", m{"ack": []string{v.R}}); !bytes.Contains(r.Results, []byte("gone")) {
			t.Errorf("a second time: %s", r.Results)
		}
		// The other principal can't take the session.
		other.must("queue:cancel", m{"consumer": theirs})
		w.must("queue:publish", m{"queue": "q", "data": 2})
		w.message("queue:message")
		w.Close()
		synctest.Wait()
		if r := other.must("queue:consume", open); len(r.Resumed) != 0 {
			t.Errorf("took %v", r.Resumed)
		}
		other.quiet()
		time.Sleep(4 * time.Second)
		other.message("queue:message") // the grace is over
	})
}

// TestLateAck: the ack of one connection settles nothing of another.
func TestLateAck(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q"})
		w.must("queue:publish", m{"queue": "q", "data": 1})
		w.message("queue:message")
		w.Close()
		again := b.client("w")
		again.must("queue:consume", m{"queue": "q"})
		e, v := again.message("queue:message")
		if v.Attempt != 2 {
			t.Fatalf("%+v", v)
		}
		e.Ack()
		e.Ack() // a second time is nothing
		again.quiet()
	})
}

// TestReceiptsFreeAcks: a worker that settles by receipt only doesn't fill the table of pending acks.
func TestReceiptsFreeAcks(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q", "prefetch": 100})
		for range 12 {
			var messages []m
			for i := range 100 {
				messages = append(messages, m{"data": i})
			}
			w.must("queue:publish", m{"queue": "q", "messages": messages})
			var receipts []string
			for range 100 {
				_, v := w.message("queue:message")
				receipts = append(receipts, v.R)
			}
			w.must("queue:settle", m{"ack": receipts})
		}
		w.quiet()
	})
}

func TestBatch(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q", "prefetch": 20, "batch": m{"max": 3, "waitMs": 500}})
		r := w.must("queue:publish", m{"queue": "q", "messages": []m{
			{"id": "a", "data": 1}, {"id": "b", "data": 2}, {"id": "c", "data": 3}, {"id": "d", "data": []byte{4}},
		}})
		var results []reply
		if err := json.Unmarshal(r.Results, &results); err != nil || len(results) != 4 || results[3].ID != "d" || !results[3].OK {
			t.Errorf("%s", r.Results)
		}
		var ms []message
		e := w.Expect("queue:batch")
		e.Decode(&ms)
		if len(ms) != 3 || ms[0].ID != "a" || ms[2].ID != "c" {
			t.Fatalf("%+v", ms)
		}
		w.quiet() // the fourth waits for more
		e.Ack(m{"nack": []m{{"id": "b", "delay": 1000}}, "reject": []m{{"id": "c", "reason": "no"}}})
		time.Sleep(501 * time.Millisecond)
		e = w.Expect("queue:batch")
		e.Decode(&ms)
		if len(ms) != 1 || ms[0].ID != "d" {
			t.Fatalf("%+v", ms)
		}
		e.Ack()
		time.Sleep(1100 * time.Millisecond)
		e = w.Expect("queue:batch")
		e.Decode(&ms)
		if len(ms) != 1 || ms[0].ID != "b" || ms[0].Attempt != 2 {
			t.Fatalf("%+v", ms)
		}
		e.Ack()
		synctest.Wait()
		if st := w.must("queue:stats", m{"queue": "q"}); st.Dead != 1 || st.Ready+st.Leased+st.Scheduled != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestBatchAttachments: clients take ten attachments in a packet, so a batch ends there.
func TestBatchAttachments(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		for range 12 {
			w.must("queue:publish", m{"queue": "q", "data": []byte("x")})
		}
		w.must("queue:consume", m{"queue": "q", "prefetch": 50, "batch": m{"max": 50, "waitMs": 10}})
		got := 0
		for got < 12 {
			var ms []struct{ Data []byte }
			e := w.Expect("queue:batch")
			e.Decode(&ms)
			if len(ms) > 10 {
				t.Errorf("%d", len(ms))
			}
			got += len(ms)
			e.Ack()
		}
	})
}

func TestRevoked(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		if err := b.broker.Configure(t.Context(), "slow", queues.Config{MaxProcessing: time.Minute}); err != nil {
			t.Fatal(err)
		}
		w := b.client("w")
		w.must("queue:consume", m{"queue": "slow"})
		w.must("queue:publish", m{"queue": "slow", "data": 1})
		e, v := w.message("queue:message")
		time.Sleep(75 * time.Second)
		var revoked struct {
			Receipts []string
			Reason   string
		}
		w.Expect("queue:revoked").Decode(&revoked)
		if len(revoked.Receipts) != 1 || revoked.Receipts[0] != v.R || revoked.Reason != queues.RevokedProcessing {
			t.Errorf("%+v", revoked)
		}
		e.Ack() // too late: it is handed out again, and this changes nothing
		_, v = w.message("queue:message")
		if v.Attempt != 2 {
			t.Errorf("%+v", v)
		}
	})
}

func TestCreditAndCancel(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		id := w.must("queue:consume", m{"queue": "q", "prefetch": 0}).Consumer // paused, as by queue:credit
		for i := range 4 {
			w.must("queue:publish", m{"queue": "q", "data": i})
		}
		w.quiet()
		w.must("queue:credit", m{"consumer": id, "prefetch": 1})
		first, _ := w.message("queue:message")
		w.quiet()
		w.must("queue:credit", m{"consumer": id, "prefetch": 2})
		second, _ := w.message("queue:message")
		w.must("queue:credit", m{"consumer": id, "prefetch": 0})
		first.Ack()
		w.quiet()
		w.must("queue:cancel", m{"consumer": id, "drain": true})
		second.Ack()
		synctest.Wait()
		if r := w.ask("queue:credit", m{"consumer": id, "prefetch": 1}); r.Code != "not_found" {
			t.Errorf("a drained consumer: %+v", r)
		}
		id = w.must("queue:consume", m{"queue": "q"}).Consumer
		w.message("queue:message")
		w.must("queue:cancel", m{"consumer": id})
		synctest.Wait()
		if st := w.must("queue:stats", m{"queue": "q"}); st.Ready != 2 || st.Leased != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestExtend(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q", "renew": false})
		w.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := w.message("queue:message")
		time.Sleep(20 * time.Second)
		if r := w.must("queue:extend", m{"receipts": []string{v.R, "x"}, "ms": 60_000}); string(r.Results) != `{"`+v.R+`":"ok","x":"bad_request"}` {
			t.Errorf("%s", r.Results)
		}
		time.Sleep(50 * time.Second)
		w.quiet()
		time.Sleep(15 * time.Second)
		w.Expect("queue:revoked")
	})
}

func TestRefusals(t *testing.T) {
	run(t, queueapi.Config{MaxConsumers: 2, MaxInboxes: 1}, func(t *testing.T, b *bench) {
		c, nobody := b.client("w"), b.client("nobody")
		c.must("queue:consume", m{"queue": "q"})
		c.must("queue:consume", m{"queue": "q"})
		c.must("inbox:open", m{})
		for _, test := range []struct {
			c     *client
			event string
			req   any
			code  string
		}{
			{c, "queue:publish", m{"queue": "none", "data": 1}, "not_found"},
			{c, "queue:publish", m{"queue": "q"}, "bad_request"},
			{c, "queue:publish", m{"queue": "no such name", "data": 1}, "bad_request"},
			{c, "queue:publish", "text", "bad_request"},
			{c, "queue:publish", m{"queue": "q", "data": 1, "delay": -1}, "bad_request"},
			{c, "queue:publish", m{"queue": "q", "data": 1, "ttl": 1e300}, "bad_request"},
			{c, "queue:publish", m{"queue": "q", "data": 1, "priority": 4}, "bad_request"},
			{c, "queue:publish", m{"queue": "q", "data": 1, "priority": 1, "key": "k"}, "bad_request"},
			{c, "queue:publish", m{"queue": "q", "messages": []m{}}, "bad_request"},
			{c, "queue:publish", m{"queue": "q", "data": strings.Repeat("x", 256<<10)}, "too_large"},
			{c, "queue:publish", m{"queue": "$fanout", "data": 1}, "bad_request"},
			{nobody, "queue:publish", m{"queue": "q", "data": 1}, "unauthorized"},
			{c, "queue:consume", m{"queue": "q"}, "rate_limited"},
			{nobody, "queue:consume", m{"queue": "q"}, "unauthorized"},
			{nobody, "queue:consume", m{"queue": "q", "event": "disconnect"}, "bad_request"},
			{nobody, "queue:consume", m{"queue": "q", "mode": "exactly-once"}, "bad_request"},
			{nobody, "queue:consume", m{"queue": "q", "batch": m{"max": 0}}, "bad_request"},
			{nobody, "queue:stats", m{"queue": "q"}, "unauthorized"},
			{nobody, "queue:peek", m{"queue": "q"}, "unauthorized"},
			{c, "queue:peek", m{"queue": "q", "n": 101}, "bad_request"},
			{c, "queue:admin", m{"op": "purge", "queue": "q"}, "unauthorized"},
			{c, "queue:admin", m{"op": "boil", "queue": "q"}, "bad_request"},
			{c, "queue:credit", m{"consumer": 999, "prefetch": 1}, "not_found"},
			{c, "inbox:open", m{"inbox": "w/phone"}, "rate_limited"},
			{nobody, "inbox:open", m{"inbox": "w"}, "unauthorized"},
			{nobody, "inbox:ack", m{"epoch": 1, "seq": 1}, "conflict"},
			{nobody, "inbox:send", m{"to": []string{"w"}, "data": 1}, "unauthorized"},
			{c, "inbox:send", m{"data": 1}, "bad_request"},
			{c, "inbox:send", m{"to": []string{}, "data": 1}, "bad_request"},
			{c, "queue:consume", m{"queue": "q", "prefetch": -1}, "bad_request"},
			{c, "inbox:subscribe", m{"topic": "no topic"}, "bad_request"},
		} {
			if r := test.c.ask(test.event, test.req); r.OK || r.Code != test.code || r.Message == "" {
				t.Errorf("%s %.80v: %+v, want %s", test.event, test.req, r, test.code)
			}
		}
		if st := c.must("queue:stats", m{"queue": "q"}); st.Ready+st.Leased != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAdmin(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		a := b.client("admin")
		a.must("queue:admin", m{"op": "configure", "queue": "jobs", "config": m{"leaseMs": 1000, "maxLen": 2, "maxFailures": 1}})
		if r := a.ask("queue:admin", m{"op": "configure", "queue": "jobs", "config": m{"leese": 1}}); r.Code != "bad_request" {
			t.Errorf("%+v", r)
		}
		a.must("queue:publish", m{"queue": "jobs", "data": 1})
		a.must("queue:publish", m{"queue": "jobs", "data": 2})
		if r := a.ask("queue:publish", m{"queue": "jobs", "data": 3}); r.Code != "queue_full" || r.RetryAfter <= 0 {
			t.Errorf("%+v", r)
		}
		a.must("queue:admin", m{"op": "pause", "queue": "jobs", "publish": true})
		if r := a.ask("queue:publish", m{"queue": "jobs", "data": 3}); r.Code != "paused" {
			t.Errorf("%+v", r)
		}
		a.must("queue:admin", m{"op": "resume", "queue": "jobs"})
		a.must("queue:consume", m{"queue": "jobs", "prefetch": 2})
		for range 2 {
			e, _ := a.message("queue:message")
			e.Ack(m{"nack": true})
		}
		synctest.Wait()
		if st := a.must("queue:stats", m{"queue": "jobs"}); st.Dead != 2 {
			t.Errorf("%+v", st)
		}
		if r := a.must("queue:admin", m{"op": "redrive", "queue": "jobs", "n": 1}); r.N != 1 {
			t.Errorf("%+v", r)
		}
		if _, v := a.message("queue:message"); v.Attempt != 1 || v.Data != 1.0 {
			t.Errorf("%+v", v)
		}
		if r := a.must("queue:admin", m{"op": "purge", "queue": "jobs", "dead": true}); r.N != 1 {
			t.Errorf("%+v", r)
		}
		if r := a.ask("queue:admin", m{"op": "delete", "queue": "jobs"}); r.Code != "conflict" {
			t.Errorf("%+v", r)
		}
		a.must("queue:admin", m{"op": "delete", "queue": "jobs", "force": true})
		var closed struct{ Code string }
		for e := a.Next(); ; e = a.Next() {
			if e.Name == "queue:closed" {
				e.Decode(&closed)
				break
			}
		}
		if closed.Code != "not_found" {
			t.Errorf("%+v", closed)
		}
	})
}

// TestInbox: what was sent while the owner was away comes in order, and is deleted when it is acknowledged.
func TestInbox(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		sender := b.client("admin")
		for i := range 3 {
			r := sender.must("inbox:send", m{"to": []string{"ada", "bob", "ada"}, "data": m{"n": i, "b": []byte{byte(i)}}}) // one entry for ada
			if r.Seqs["ada"] != uint64(i+1) {
				t.Errorf("%+v", r)
			}
		}
		ada := b.client("ada")
		open := ada.must("inbox:open", m{})
		if open.First != 1 || open.Last != 3 || !open.Recovered {
			t.Errorf("%+v", open)
		}
		type entry struct {
			message
			Data struct {
				N int
				B []byte
			}
		}
		var events []*servertest.Event
		for i := range 3 {
			var v entry
			e := ada.Expect("inbox:message")
			e.Decode(&v)
			if v.Seq != uint64(i+1) || v.Data.N != i || !bytes.Equal(v.Data.B, []byte{byte(i)}) {
				t.Errorf("%+v", v)
			}
			events = append(events, e)
		}
		events[1].Ack() // out of order: the first is still open
		synctest.Wait()
		ada.Close()
		ada = b.client("ada")
		if open = ada.must("inbox:open", m{}); open.First != 1 {
			t.Errorf("%+v", open)
		}
		for range 3 {
			ada.Expect("inbox:message")
		}
		if r := ada.must("inbox:ack", m{"epoch": open.Epoch, "seq": 2}); r.Acked != 2 {
			t.Errorf("%+v", r)
		}
		// Another tab takes over; the position that it has says what it knows.
		tab := b.client("ada")
		if open = tab.must("inbox:open", m{"since": m{"epoch": open.Epoch, "seq": 3}}); open.Acked != 3 || !open.Recovered {
			t.Errorf("%+v", open)
		}
		var closed struct{ Code string }
		ada.Expect("inbox:closed").Decode(&closed)
		if closed.Code != "taken_over" {
			t.Errorf("%+v", closed)
		}
		tab.quiet()
		if open = tab.must("inbox:open", m{"since": m{"epoch": open.Epoch + 1, "seq": 3}}); open.Recovered || open.Reason != "epoch" {
			t.Errorf("%+v", open)
		}
		tab.must("inbox:close", m{})
		sender.must("inbox:send", m{"to": []string{"ada"}, "data": 1})
		tab.quiet()
	})
}

func TestTopics(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		ada, sender := b.client("ada"), b.client("admin")
		ada.must("inbox:subscribe", m{"topic": "news"})
		ada.must("inbox:open", m{})
		if r := sender.must("inbox:send", m{"topic": "news", "data": "hello"}); r.Tseq == 0 {
			t.Errorf("%+v", r)
		}
		e, v := ada.message("inbox:message")
		if v.Topic != "news" || v.Data != "hello" {
			t.Errorf("%+v", v)
		}
		e.Ack()
		ada.must("inbox:unsubscribe", m{"topic": "news"})
		sender.must("inbox:send", m{"topic": "news", "data": "hello"})
		time.Sleep(time.Minute)
		ada.quiet()
	})
}

// TestGoHandler: a handler in Go takes what a client has published, binary values too.
func TestGoHandler(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		got := make(chan []byte, 1)
		consumer, err := b.broker.Consume(t.Context(), "q", queues.ConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		err = queues.Handle(consumer, func(_ context.Context, _ *queues.Message, p queues.Payload) error {
			var v struct{ B []byte }
			if err := queueapi.Decode(p, &v); err != nil {
				return err
			}
			got <- v.B
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b.client("p").must("queue:publish", m{"queue": "q", "data": m{"B": []byte("bin")}})
		if v := <-got; string(v) != "bin" {
			t.Errorf("%q", v)
		}
	})
}
