package queueapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// TestResultOfEachMessage: what is wrong with one message of a list was the answer for all, and none was stored.
func TestResultOfEachMessage(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		c := b.client("w")
		r := c.must("queue:publish", m{"queue": "q", "messages": []m{
			{"id": "a", "data": 1}, {}, {"data": 2, "ttl": 1e300}, {"data": 3, "at": -1}, {"data": strings.Repeat("x", 256<<10)},
			{"id": "a", "data": 4}, {"id": "b", "data": 5},
		}})
		var results []reply
		if err := json.Unmarshal(r.Results, &results); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range results {
			got += fmt.Sprint(r.Code, r.ID, r.Seq, r.Duplicate, " ")
		}
		if want := "a1 false bad_request0 false bad_request0 false bad_request0 false too_large0 false a1 true b2 false "; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		r = c.must("queue:publish", m{"queue": "q", "messages": []m{{}}})
		if !strings.Contains(string(r.Results), "bad_request") {
			t.Errorf("%s", r.Results)
		}
	})
}

// TestReceiptTwice: a receipt that came twice in one request was told to be gone, though its message was settled.
func TestReceiptTwice(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q"})
		w.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := w.message("queue:message")
		r := w.must("queue:settle", m{"ack": []string{v.R, v.R}, "nack": []m{{"r": v.R}}})
		if string(r.Results) != `{"`+v.R+`":"ok"}` {
			t.Errorf("%s", r.Results)
		}
	})
}

// TestNoGrace: a session that wanted none had the default.
func TestNoGrace(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		open := m{"queue": "q", "session": "s", "graceMs": 0}
		w, other := b.client("w"), b.client("other")
		w.must("queue:consume", open)
		w.must("queue:publish", m{"queue": "q", "data": 1})
		_, v := w.message("queue:message")
		other.must("queue:consume", m{"queue": "q"})
		again := b.client("w")
		if r := again.must("queue:consume", open); len(r.Resumed) != 1 || r.Resumed[0] != v.R {
			t.Errorf("resumed %v, had %s", r.Resumed, v.R)
		}
		again.Close()
		synctest.Wait()
		if _, v := other.message("queue:message"); v.Attempt != 2 {
			t.Errorf("%+v", v)
		}
	})
}

// TestSlowRedrive: a redrive with a rate ended with an error after 10 s, and the socket's other requests waited for it.
func TestSlowRedrive(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		a := b.client("admin")
		a.must("queue:consume", m{"queue": "q", "prefetch": 50})
		for i := range 50 {
			a.must("queue:publish", m{"queue": "q", "id": fmt.Sprint("id", i), "data": i})
			e, _ := a.message("queue:message")
			e.Ack(m{"reject": true})
		}
		synctest.Wait()
		dead := func(want int) {
			t.Helper()
			if st := a.must("queue:stats", m{"queue": "q"}); st.Dead != want {
				t.Errorf("%d are dead, want %d", st.Dead, want)
			}
		}
		a.Emit("queue:admin", m{"op": "redrive", "queue": "q", "n": 40, "rate": 2})
		time.Sleep(10*time.Second + time.Millisecond)
		dead(29)
		if r := a.ask("queue:admin", m{"op": "redrive", "queue": "q", "rate": 2}); r.Code != "rate_limited" {
			t.Errorf("a second one: %+v", r)
		}
		time.Sleep(time.Minute)
		dead(10)
		ids := []string{"id45", "none", "id46", "id47"}
		if r := a.must("queue:admin", m{"op": "redrive", "queue": "q", "ids": ids, "rate": 2}); r.N != 3 {
			t.Errorf("%d of those named", r.N)
		}
		a.Emit("queue:admin", m{"op": "redrive", "queue": "q", "rate": 0.001}) // it ends with the socket
		synctest.Wait()
		dead(6)
	})
}

// TestAnswerHasTheNamesOfTheRequest: it had those that were made of them, which the sender doesn't know.
func TestAnswerHasTheNamesOfTheRequest(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		r := b.client("admin").must("inbox:send", m{"to": []string{"Bob Smith", "ada"}, "data": 1})
		if len(r.Seqs) != 2 || r.Seqs["Bob Smith"] != 1 || r.Seqs["ada"] != 1 {
			t.Errorf("%v", r.Seqs)
		}
	})
}

// TestInboxThatCantBeOpenedAgain: an inbox that was open, and could not be opened anew, was closed, and nobody said so.
func TestInboxThatCantBeOpenedAgain(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		ada := b.client("ada")
		ada.must("inbox:open", m{})
		if r := ada.ask("inbox:open", m{"prefetch": 1001}); r.Code != string(queues.CodeBadRequest) {
			t.Errorf("%+v", r)
		}
		var v struct{ Inbox, Code string }
		if ada.Expect("inbox:closed").Decode(&v); v.Inbox != "ada" || v.Code != "bad_request" {
			t.Errorf("%+v", v)
		}
		ada.must("inbox:open", m{})
	})
}

// TestAckBehindSettle: acks of a client aren't taken before what it has sent before them.
func TestAckBehindSettle(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		w := b.client("w")
		w.must("queue:consume", m{"queue": "q", "prefetch": 4})
		for range 4 {
			w.Emit("queue:publish", m{"queue": "q", "data": 1})
		}
		for range 4 {
			e, v := w.message("queue:message")
			w.Emit("queue:settle", m{"reject": []m{{"r": v.R}}})
			e.Ack()
		}
		synctest.Wait()
		if st, err := b.broker.Stats(t.Context(), "q"); err != nil || st.Dead != 4 || st.Acked != 0 {
			t.Errorf("%+v %v", st, err)
		}
	})
}
