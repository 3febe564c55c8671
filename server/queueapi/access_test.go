package queueapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// tenants is an Authorize by which each principal has what begins with its name and a dot or slash, and may
// do one thing only if it is named for it: ada-publish.
func tenants(_ context.Context, principal string, action queues.Action, name string) error {
	tenant, only, limited := strings.Cut(principal, "-")
	if tenant == "" || !strings.HasPrefix(name, tenant+".") && !strings.HasPrefix(name, tenant+"/") && name != tenant ||
		limited && only != string(action) {
		return queues.ErrUnauthorized
	}
	return nil
}

// Who has no name is told so when it opens its own inbox. It was told that the inbox had no valid name.
func TestInboxOfNobody(t *testing.T) {
	runFor(t, nil, queueapi.Config{}, func(t *testing.T, b *bench) {
		c := b.client("")
		if r := c.ask("inbox:open", m{}); r.OK || r.Code != "unauthorized" || !strings.Contains(r.Message, "without a name") {
			t.Errorf("%+v", r)
		}
	})
}

// TestTenants: for every event, who may does, and all others don't: nobody, another tenant, and who may do
// everything else.
func TestTenants(t *testing.T) {
	const q = "ada.q"
	for _, test := range []struct {
		event  string
		action queues.Action
		req    m
	}{
		{"queue:publish", queues.Publish, m{"queue": q, "data": 1}},
		{"queue:publish", queues.Publish, m{"queue": q, "messages": []m{{"data": 1}, {"data": 2}}}},
		{"queue:consume", queues.Consume, m{"queue": q}},
		{"queue:stats", queues.Inspect, m{"queue": q}},
		{"queue:peek", queues.Inspect, m{"queue": q}},
		{"queue:admin", queues.Admin, m{"op": "pause", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "resume", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "purge", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "redrive", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "configure", "queue": q, "config": m{}}},
		{"queue:admin", queues.Admin, m{"op": "configure", "queue": "ada.new"}},
		{"queue:admin", queues.Admin, m{"op": "watch", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "unwatch", "queue": q}},
		{"queue:admin", queues.Admin, m{"op": "delete", "queue": q, "force": true}},
		{"inbox:send", queues.SendInbox, m{"to": []string{"ada"}, "data": 1}},
		{"inbox:send", queues.SendInbox, m{"topic": "ada.news", "data": 1}},
		{"inbox:open", queues.OpenInbox, m{"inbox": "ada/phone"}},
		{"inbox:subscribe", queues.Subscribe, m{"inbox": "ada", "topic": "ada.news"}},
		{"inbox:unsubscribe", queues.OpenInbox, m{"inbox": "ada", "topic": "ada.news"}},
	} {
		runFor(t, tenants, queueapi.Config{}, func(t *testing.T, b *bench) {
			if err := b.broker.Configure(t.Context(), q, queues.Config{}); err != nil {
				t.Fatal(err)
			}
			others := []string{"", "bob", "ad", "ada.", "adab", "bob-" + string(test.action)}
			for _, action := range []queues.Action{queues.Publish, queues.Consume, queues.Inspect, queues.Admin,
				queues.OpenInbox, queues.SendInbox, queues.Subscribe} {
				if action != test.action {
					others = append(others, "ada-"+string(action))
				}
			}
			for _, name := range others {
				c := b.client(name)
				if r := c.ask(test.event, test.req); r.OK || r.Code != "unauthorized" || !strings.Contains(r.Message, "isn't allowed to") ||
					name != "" && !strings.HasPrefix(r.Message, name) { // who may not do what
					t.Errorf("%s %v by %q: %+v", test.event, test.req, name, r)
				}
				c.quiet()
				c.Close()
			}
			names, err := b.broker.Queues(t.Context())
			if err != nil || len(names) != 2 { // and "q"
				t.Errorf("%v %v", names, err)
			}
			st, err := b.broker.Stats(t.Context(), q)
			if err != nil || st.Published != 0 || st.PublishPaused {
				t.Errorf("%+v %v", st, err)
			}
			if in, err := b.broker.InboxStats(t.Context(), "ada"); err != nil || in.Len != 0 || in.Topics != 0 {
				t.Errorf("%+v %v", in, err)
			}
			if r := b.client("ada").ask(test.event, test.req); !r.OK {
				t.Errorf("%s %v by ada: %+v", test.event, test.req, r)
			}
		})
	}
}

// TestAnotherOnesMessages: what is only known to one client is no use to another.
func TestAnotherOnesMessages(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		ada, eve := b.client("ada"), b.client("eve")
		consumer := ada.must("queue:consume", m{"queue": "q", "prefetch": 5}).Consumer
		ada.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := ada.message("queue:message")
		open := ada.must("inbox:open", m{})
		b.client("admin").must("inbox:send", m{"to": []string{"ada"}, "data": 1})
		ada.message("inbox:message")

		for event, req := range map[string]m{
			"queue:credit": {"consumer": consumer, "prefetch": 0},
			"queue:cancel": {"consumer": consumer},
			"inbox:ack":    {"inbox": "ada", "epoch": open.Epoch, "seq": 1},
			"inbox:close":  {"inbox": "ada"},
		} {
			if r := eve.ask(event, req); r.OK || r.Code != "not_found" && r.Code != "conflict" {
				t.Errorf("%s: %+v", event, r)
			}
		}
		// Receipts are signed: none of another message, queue or fence can be made of one.
		flip := []byte(v.R)
		flip[0] ^= 1
		for _, r := range []string{"", "x", v.R + "A", v.R[:len(v.R)-1], string(flip), strings.Repeat("A", 10_000)} {
			for _, event := range []string{"queue:settle", "queue:extend"} {
				req := m{"ack": []string{r}}
				if event == "queue:extend" {
					req = m{"receipts": []string{r}, "ms": 1000}
				}
				var results map[string]string
				if err := json.Unmarshal(eve.must(event, req).Results, &results); err != nil || results[r] != "bad_request" {
					t.Errorf("%s %.50q: %v %v", event, r, results, err)
				}
			}
		}
		// Peeking shows no receipts.
		shown, err := json.Marshal(eve.must("queue:peek", m{"queue": "q", "state": "leased"}).Messages)
		if err != nil || strings.Contains(string(shown), v.R) || !strings.Contains(string(shown), v.ID) {
			t.Errorf("%s %v", shown, err)
		}
		synctest.Wait()
		if st := ada.must("queue:stats", m{"queue": "q"}); st.Leased != 1 {
			t.Errorf("%+v", st)
		}
		if r := ada.must("inbox:ack", m{"epoch": open.Epoch, "seq": 1}); r.Acked != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// TestInboxNames: no principal's inbox is another's, whatever they are called.
func TestInboxNames(t *testing.T) {
	spaces := queues.InboxOf("Bob Smith")
	if !queues.ValidInbox(spaces) || queueapi.InboxNamed("Bob Smith") != spaces || queueapi.InboxNamed(spaces) != spaces {
		t.Errorf("%q", spaces)
	}
	seen := map[string]string{}
	for _, principal := range []string{"Bob Smith", spaces, queues.InboxOf(spaces), "bob", "bob/phone", "user:12", "bob/", "/", "Ä", strings.Repeat("x", 200)} {
		name := queues.InboxOf(principal)
		if other, there := seen[name]; there || !queues.ValidInbox(name) || strings.Contains(name, "/") {
			t.Errorf("the inbox of %q and %q is %q", principal, other, name)
		}
		seen[name] = principal
	}
	if queues.InboxOf("user:12") != "user:12" || queueapi.InboxNamed("bob/phone") != "bob/phone" || queues.InboxOf("") != "" {
		t.Error("plain names are changed")
	}
}

// TestRevokedRight: a right that is taken away is gone with the next request, and what is handed out can still be settled.
func TestRevokedRight(t *testing.T) {
	var denied atomic.Bool
	rule := func(context.Context, string, queues.Action, string) error {
		if !denied.Load() {
			return nil
		}
		return queues.ErrUnauthorized
	}
	runFor(t, rule, queueapi.Config{}, func(t *testing.T, b *bench) {
		c := b.client("c")
		c.must("queue:consume", m{"queue": "q"})
		c.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := c.message("queue:message")
		denied.Store(true)
		for event, req := range map[string]m{
			"queue:publish": {"queue": "q", "data": 1}, "queue:consume": {"queue": "q"}, "queue:stats": {"queue": "q"},
			"inbox:open": {}, "inbox:send": {"to": []string{"c"}, "data": 1},
		} {
			if r := c.ask(event, req); r.Code != "unauthorized" {
				t.Errorf("%s: %+v", event, r)
			}
		}
		if r := c.must("queue:settle", m{"ack": []string{v.R}}); string(r.Results) != `{"`+v.R+`":"ok"}` {
			t.Errorf("%s", r.Results)
		}
		time.Sleep(time.Second)
		c.quiet()
	})
}

// TestSocketOf: whoever decides knows which socket asks, also when it is told of something later.
func TestSocketOf(t *testing.T) {
	var asked atomic.Int32
	rule := func(ctx context.Context, principal string, _ queues.Action, _ string) error {
		asked.Add(1)
		if s := queueapi.SocketOf(ctx); s == nil && principal != "go" || s != nil && user(s) != principal {
			return queues.ErrUnauthorized
		}
		return nil
	}
	runFor(t, rule, queueapi.Config{}, func(t *testing.T, b *bench) {
		c := b.client("ada")
		requests := []struct {
			event string
			req   m
		}{
			{"queue:admin", m{"op": "configure", "queue": "q", "config": m{"maxLen": 1, "overflow": "drop-oldest"}}},
			{"queue:admin", m{"op": "watch", "queue": "q"}},
			{"queue:publish", m{"queue": "q", "messages": []m{{"data": 1}, {"data": 2}}}},
			{"queue:stats", m{"queue": "q"}}, {"queue:peek", m{"queue": "q"}}, {"inbox:open", m{}}, {"inbox:subscribe", m{"topic": "t"}},
			{"inbox:send", m{"topic": "t", "data": 1}}, {"inbox:send", m{"to": []string{"ada"}, "data": 1}},
		}
		for _, r := range requests {
			c.must(r.event, r.req)
		}
		if n := asked.Load(); n < int32(len(requests)) {
			t.Errorf("asked %d times", n)
		}
		c.Expect("inbox:message")
		c.Expect("inbox:message")
		time.Sleep(2 * time.Second)
		c.Expect("queue:dropped")
		if _, err := b.broker.As("go").Stats(t.Context(), "q"); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.As("ada").Stats(t.Context(), "q"); err == nil {
			t.Error("there was a socket where there is none")
		}
	})
}
