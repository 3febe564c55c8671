package redisadapter

import (
	"io"
	"net"
	"testing"
)

// TestConfirmedInTurn: a channel is given up and wanted again before Redis has confirmed it the first time. That
// passed for the confirmation of the second, though what had been sent in between would end it.
func TestConfirmedInTurn(t *testing.T) {
	ours, redis := net.Pipe()
	defer ours.Close()
	go io.Copy(io.Discard, redis)
	s := &subscriber{
		sharded: true, bus: &bus{}, conn: &conn{raw: ours},
		channels: map[string]*subscription{}, patterns: map[string]*subscription{},
	}
	first, second := newTopic("room", nil), newTopic("room", nil)
	s.add(first)
	s.remove(first)
	s.add(second)
	for i, unsubscribe := range []bool{false, true, false} {
		if s.channels["room"].isReady() {
			t.Errorf("ready after %d answers", i)
		}
		s.confirmed(unsubscribe, "room")
	}
	if !s.channels["room"].isReady() || len(s.sent) != 0 {
		t.Error("not ready in the end")
	}
}

// TestAddedTwice: a topic that is found to have moved in two ways at once may be placed twice. Its messages were handled twice then.
func TestAddedTwice(t *testing.T) {
	s := &subscriber{channels: map[string]*subscription{}, patterns: map[string]*subscription{}}
	a, b := newTopic("c", nil), newTopic("c", nil)
	s.add(a, b)
	s.add(a)
	if n := len(s.channels["c"].topics); n != 2 {
		t.Errorf("%d topics for 2", n)
	}
	s.remove(a)
	if n := len(s.channels["c"].topics); n != 1 {
		t.Errorf("%d topics for 1", n)
	}
}
