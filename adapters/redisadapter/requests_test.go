package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// ask begins a request and collects its replies in the background. The
// function returned waits for its end.
func ask(t *testing.T, rs *requests, kind adapters.Kind, timeout time.Duration) (*pending, func() ([]adapters.Reply, error)) {
	t.Helper()
	p, err := rs.begin(kind, "q")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	var replies []adapters.Reply
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		defer rs.end(p)
		rs.collect(ctx, p, func(r adapters.Reply, err error) bool {
			if err != nil {
				failed = err
			} else {
				replies = append(replies, r)
			}
			return true
		})
	}()
	return p, func() ([]adapters.Reply, error) { <-done; return replies, failed }
}

func answer(kind kind, uid string, clients int) *message {
	return &message{kind: kind, uid: uid, request: "q", reply: adapters.Reply{Clients: clients}}
}

func named(names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m["uid-"+n] = n
	}
	return m
}

func TestRequestComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &requests{stats: &counters{}}
		start := time.Now()
		p, wait := ask(t, rs, adapters.Fetch, 5*time.Second)
		rs.answer(answer(kindFetchReply, "uid-b", -1)) // faster than the count
		p.expect(census{others: 3, named: named("b", "c")})
		rs.answer(answer(kindFetchReply, "uid-b", -1)) // twice
		rs.answer(answer(kindClients, "uid-c", 1))     // to another question
		rs.answer(answer(kindFetchReply, "", -1))      // a Node server
		rs.answer(answer(kindFetchReply, "uid-c", -1))
		replies, err := wait()
		if err != nil || len(replies) != 3 || replies[0].Node != "uid-b" || replies[2].Node != "c" || time.Since(start) > 0 {
			t.Errorf("%+v, %v after %v", replies, err, time.Since(start))
		}
		if len(rs.open) > 0 {
			t.Error("the request is still kept")
		}
		rs.answer(answer(kindFetchReply, "uid-b", -1)) // late
	})
}

func TestRequestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &requests{stats: &counters{}}
		start := time.Now()
		p, wait := ask(t, rs, adapters.Fetch, 5*time.Second)
		p.expect(census{others: 4, named: named("b", "c")})
		rs.answer(answer(kindFetchReply, "uid-c", -1))
		replies, err := wait()
		want := &adapters.MissingError{Nodes: []string{"b"}, Unnamed: 2}
		if !reflect.DeepEqual(err, want) || len(replies) != 1 || time.Since(start) != 5*time.Second {
			t.Errorf("%+v, %v after %v", replies, err, time.Since(start))
		}
		if s := rs.stats.stats(); s.RequestTimeouts != 1 || s.MissingNodes != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// A node that dies is waited for no longer, and named.
func TestRequestDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &requests{stats: &counters{}}
		start := time.Now()
		p, wait := ask(t, rs, adapters.Ask, 5*time.Second)
		p.expect(census{others: 2, named: named("b", "c")})
		rs.answer(answer(kindClients, "uid-b", 2))
		rs.answer(answer(kindAck, "uid-b", -1))
		rs.answer(answer(kindClients, "uid-c", 0))
		synctest.Wait()
		rs.drop("uid-x", "x")
		rs.drop("uid-b", "b")
		replies, err := wait()
		var missing *adapters.MissingError
		if !errors.As(err, &missing) || missing.Acks != 1 || len(missing.Nodes) > 0 || len(replies) != 3 || time.Since(start) > 0 {
			t.Errorf("%+v, %v after %v", replies, err, time.Since(start))
		}

		p, wait = ask(t, rs, adapters.Fetch, 5*time.Second)
		p.expect(census{others: 1, named: named("b")})
		rs.drop("uid-b", "b")
		if _, err := wait(); !errors.As(err, &missing) || !slices.Equal(missing.Nodes, []string{"b"}) {
			t.Error(err)
		}
	})
}

// A node that answers and leaves before the others are counted doesn't answer for one of them.
func TestRequestGoneNode(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rs := &requests{stats: &counters{}}
			p, wait := ask(t, rs, adapters.Fetch, 5*time.Second)
			if !late {
				rs.answer(answer(kindFetchReply, "uid-b", -1))
			}
			p.expect(census{others: 1, named: named("c"), gone: map[string]struct{}{"uid-b": {}}})
			if late {
				rs.answer(answer(kindFetchReply, "uid-b", -1))
			}
			time.Sleep(time.Second)
			rs.answer(answer(kindFetchReply, "uid-c", -1))
			if replies, err := wait(); err != nil || len(replies) != 2 {
				t.Errorf("late: %t: %+v, %v", late, replies, err)
			}
		})
	}
}

// Redis still counts the connection of a node for a moment after it has said goodbye: it isn't an unknown one that is to
// be waited for.
func TestGoodbyeIsRemembered(t *testing.T) {
	var dead []string
	mine := newPeers(Config{Logger: slog.New(slog.DiscardHandler)}.withDefaults(), "a", func(id, _ string) { dead = append(dead, id) })
	theirs := newPeers(Config{Node: "node-b"}.withDefaults(), "b", nil)
	mine.hear(theirs.heartbeat(1))
	mine.hear(theirs.goodbye())
	var known []string
	mine.each(func(id, name string, alive bool) { known = append(known, fmt.Sprint(id, " ", name, " ", alive)) })
	if !slices.Equal(known, []string{"b node-b false"}) || !slices.Equal(dead, []string{"b"}) || mine.alive() != 0 {
		t.Errorf("%q, %q", known, dead)
	}
	mine.tick(time.Now().Add(keepDead + time.Second))
	mine.each(func(id, _ string, _ bool) { t.Errorf("%s is still known", id) })
}

// A broadcast's acks end the request, more than there are clients don't count. One may come before the number of
// clients: a Redis Cluster keeps no order between messages that are published through several of its nodes.
func TestRequestAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &requests{stats: &counters{}}
		p, wait := ask(t, rs, adapters.Ask, 5*time.Second)
		p.expect(census{others: 2})
		rs.answer(answer(kindAck, "", -1)) // before the number of clients
		rs.answer(answer(kindClients, "", 1))
		rs.answer(answer(kindClients, "", 1))
		rs.answer(answer(kindAck, "", -1))
		rs.answer(answer(kindAck, "", -1))
		if replies, err := wait(); err != nil || len(replies) != 4 {
			t.Errorf("%+v, %v", replies, err)
		}
		p, wait = ask(t, rs, adapters.Ask, 5*time.Second)
		p.expect(census{others: 2, named: named("b", "c")})
		rs.answer(answer(kindAck, "uid-b", -1))
		rs.answer(answer(kindClients, "uid-c", 1))
		rs.answer(answer(kindAck, "uid-b", -1))
		rs.answer(answer(kindClients, "uid-b", 3))
		rs.answer(answer(kindAck, "uid-b", -1))
		rs.answer(answer(kindAck, "uid-b", -1)) // more than there are clients
		rs.answer(answer(kindAck, "uid-c", -1))
		if replies, err := wait(); err != nil || len(replies) != 6 {
			t.Errorf("%+v, %v", replies, err)
		}
		p, wait = ask(t, rs, adapters.Ask, time.Second)
		p.expect(census{others: 1})
		rs.answer(answer(kindClients, "", 3))
		rs.answer(answer(kindAck, "", -1))
		if _, err := wait(); !reflect.DeepEqual(err, &adapters.MissingError{Acks: 2}) {
			t.Error(err)
		}
	})
}

func TestRequestsBounded(t *testing.T) {
	rs := &requests{stats: &counters{}}
	for range maxRequests {
		if _, err := rs.begin(adapters.Fetch, newRequestID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rs.begin(adapters.Fetch, newRequestID()); err != errTooManyRequests {
		t.Error(err)
	}
}

func TestRequestsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := &requests{stats: &counters{}}
		_, wait := ask(t, rs, adapters.Fetch, time.Hour)
		rs.close()
		if _, err := wait(); err != errClosed {
			t.Error(err)
		}
		if _, err := rs.begin(adapters.Fetch, "x"); err != errClosed {
			t.Error(err)
		}
	})
}
