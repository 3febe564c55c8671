package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// sent is what the stream says: the truth about what was sent, and in which order.
type sent struct {
	sender, number int
	at             time.Time // when its node was told to
	to             int       // room; -1: all
	id             string    // of its entry
}

// follow reads the stream from its beginning until ctx ends and nothing more
// comes. Entries that are there twice count once, as for nodes.
func follow(ctx context.Context, redis target) ([]sent, error) {
	rdb := redis.client()
	defer rdb.Close()
	var list []sent
	last := map[string]uint64{}
	from := "-"
	for {
		over := ctx.Err() != nil
		got, err := rdb.XRangeN(context.Background(), streamName, from, "+", 1000).Result()
		if err != nil { // it is being restarted
			if over {
				return list, err
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for _, m := range got {
			from = "(" + m.ID
			text := func(name string) string { s, _ := m.Values[name].(string); return s }
			if text("type") != "3" {
				continue
			}
			if seq, err := strconv.ParseUint(text("seq"), 10, 64); err == nil { // official servers don't count
				if seq <= last[text("uid")] {
					continue
				}
				last[text("uid")] = seq
			}
			var data struct {
				Packet struct{ Data []any }
				Opts   struct{ Rooms []string }
			}
			if err := json.Unmarshal([]byte(text("data")), &data); err != nil || len(data.Packet.Data) != 4 {
				return list, fmt.Errorf("the stream has %q: %v", text("data"), err)
			}
			n := func(i int) int { f, _ := data.Packet.Data[i].(float64); return int(f) }
			s := sent{n(1), n(2), time.UnixMilli(int64(n(3))), -1, m.ID}
			if len(data.Opts.Rooms) == 1 {
				s.to, _ = strconv.Atoi(data.Opts.Rooms[0][1:])
			}
			list = append(list, s)
		}
		if len(got) == 0 {
			if over {
				return list, nil
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// verdict is what a checker found.
type verdict struct {
	sent, received           int
	lost, twice, disorder    int // within sessions, recovered or not
	unlogged, again          int // received without a place in the stream; twice, but in a fresh session
	forked                   int // received with a place in a stream that Redis has lost
	missed                   int // sent since a client was first in its room, and never received, in no session
	recovered, fresh, failed int64
	examples                 []string
}

func (v *verdict) wrong(n *int, format string, args ...any) {
	*n++
	if len(v.examples) < 10 {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// check compares what clients received with what was sent. Each session has to
// have got, from the moment it was in its room, all that the stream has for it,
// once and in the stream's order. Where a session begins, nothing is owed for what was before.
//
// After a failover the stream may be another one than it was. What a session has got with a place in the
// former one is not to be followed by anything: it has to have ended.
func check(stream []sent, clients []*client) *verdict {
	v := &verdict{sent: len(stream)}
	for k, c := range clients {
		c.mu.Lock()
		v.client(k, c, stream)
		c.mu.Unlock()
		v.recovered += c.recovered.Load()
		v.fresh += c.fresh.Load()
		v.failed += c.failed.Load()
	}
	return v
}

type key struct{ sender, number int }

func (v *verdict) client(k int, c *client, stream []sent) {
	index := map[key]int{}       // place among those for this client
	others := map[key]struct{}{} // not for it
	var mine []sent
	for _, s := range stream {
		if s.to < 0 || s.to == c.room {
			index[key{s.sender, s.number}] = len(mine)
			mine = append(mine, s)
		} else {
			others[key{s.sender, s.number}] = struct{}{}
		}
	}
	seen := map[key]int{} // segment
	for seg := range c.segments {
		got := map[int]bool{}
		highest := -1
		senders := map[int]int{}
		forked := false
		for i, e := range c.got {
			if e.segment != seg {
				continue
			}
			v.received++
			if e.unlogged() {
				v.unlogged++
			}
			id := key{e.sender, e.number}
			if before, ok := seen[id]; ok {
				if before == seg {
					v.wrong(&v.twice, "client %d got event %d of sender %d twice", k, e.number, e.sender)
				} else {
					v.again++
				}
				continue
			}
			seen[id] = seg
			place, ok := index[id]
			if _, other := others[id]; other {
				v.wrong(&v.disorder, "client %d got event %d of sender %d, which was not for it", k, e.number, e.sender)
				continue
			}
			switch {
			case e.unlogged():
				if !ok { // its node died before it was written
					continue
				}
			case !ok || mine[place].id != e.offset:
				forked = true
				v.forked++
				continue
			case forked:
				v.wrong(&v.disorder, "client %d (session %d) got event %d of sender %d behind what Redis has lost", k, seg, e.number, e.sender)
			}
			// What came before it had its place keeps its sender's order.
			if last, ok := senders[e.sender]; ok && last > e.number || !e.unlogged() && place < highest {
				v.wrong(&v.disorder, "client %d (session %d) got event %d of sender %d out of order (unlogged: %v; number %d of %d; after %d; place %d after %d)",
					k, seg, e.number, e.sender, e.unlogged(), i, len(c.got), senders[e.sender], place, highest)
			}
			senders[e.sender] = e.number
			if !e.unlogged() {
				highest = max(highest, place)
			}
			got[place] = true
		}
		if forked && seg == len(c.segments)-1 {
			v.wrong(&v.disorder, "client %d still is in session %d, which has got what Redis has lost", k, seg)
		}
		if c.segments[seg].IsZero() {
			continue
		}
		// Owed is what was sent after it was in its room, up to the last that it got (by what had its
		// place then: the rest says nothing of what is in front of it), or to the end if it is its last session.
		end := highest
		if seg == len(c.segments)-1 {
			end = len(mine) - 1
		}
		for p := range end + 1 {
			if !got[p] && mine[p].at.After(c.segments[seg].Add(2*time.Millisecond)) {
				v.wrong(&v.lost, "client %d (session %d) never got event %d of sender %d", k, seg, mine[p].number, mine[p].sender)
			}
		}
	}
	if len(c.segments) == 0 || c.segments[0].IsZero() {
		return
	}
	for id, p := range index {
		if _, ok := seen[id]; !ok && mine[p].at.After(c.segments[0].Add(2*time.Millisecond)) {
			v.missed++
		}
	}
}

func (v *verdict) String() string {
	return fmt.Sprintf("sent %d, received %d: lost %d, twice %d, out of order %d\nreturns: recovered %d, fresh %d; attempts that failed %d; received without an offset %d, again in a fresh session %d, with an offset that Redis has lost %d",
		v.sent, v.received, v.lost, v.twice, v.disorder, v.recovered, v.fresh, v.failed, v.unlogged, v.again, v.forked)
}
