package redisadapter_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server"
)

func TestEmitters(t *testing.T) {
	srv := redistest.Start(t)
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			s := newSet(t, v, func(*testing.T) redis.UniversalClient { return srv.Client() }, "em:"+v.name, 2)
			s.join(0, "a")
			s.join(1, "a", "b")
			make := redisadapter.NewEmitter
			if v.mode != "" {
				make = redisadapter.NewShardedEmitter
			}
			testEmitter(t, s, make(srv.Client(), s.cfg))
		})
	}
}

// testEmitter sends to two nodes, whose clients are in the rooms a, and a and b.
func testEmitter(t *testing.T, s *set, e redisadapter.Emitter) {
	ctx := t.Context()
	for name, to := range map[string]redisadapter.Emitter{
		"01-all": e, "01-room": e.To("a"), "1-room": e.In("b"), "0-except": e.Except("b"),
		"01-rooms": e.To("a", "b"), "0-but": e.To("a").Except("b").Compress(false), "0-id": e.To(s.clients[0].ID()),
		"nowhere": e.Of("chat"),
	} {
		if err := to.Emit(ctx, name, 1, []byte{2}); err != nil {
			t.Error(name, err)
		}
	}
	for i, want := range [][]string{
		{"0-but", "0-except", "0-id", "01-all", "01-room", "01-rooms"},
		{"01-all", "01-room", "01-rooms", "1-room"},
	} {
		if got := s.got(i, len(want)); got != strings.Join(want, " ") {
			t.Errorf("client %d got %s", i, got)
		}
	}
	until(t, "a volatile event", func() bool { // each may be dropped
		_ = e.To("a").Except("b").Volatile().Emit(ctx, "loose")
		time.Sleep(5 * time.Millisecond)
		return s.clients[0].Pending() > 0
	})
	noted := make(chan int, 2)
	for i, n := range s.nodes {
		n.Of("/").HandleServer("note", func(_ context.Context, _ *server.ServerEvent) error {
			noted <- i
			return nil
		})
	}
	if err := e.ServerSideEmit(ctx, "note", "x"); err != nil {
		t.Error(err)
	}
	if got := []int{<-noted, <-noted}; !slices.Contains(got, 0) || !slices.Contains(got, 1) {
		t.Error(got)
	}
	if err := e.To("a").Join(ctx, "c"); err != nil {
		t.Error(err)
	}
	if err := e.To("b").Leave(ctx, "b"); err != nil {
		t.Error(err)
	}
	until(t, "a join and a leave", func() bool {
		return s.nodes[0].Of("/").Count("c") == 1 && s.nodes[1].Of("/").Count("c") == 1 && s.nodes[1].Of("/").Count("b") == 0
	})
	if err := e.To(s.clients[1].ID()).Disconnect(ctx, true); err != nil {
		t.Error(err)
	}
	s.clients[1].WaitClosed()
}

// TestEmitterSendsOnce names a bug: the client's own retries sent anew what Redis had taken without that its answer
// arrived, and each copy reached the clients.
func TestEmitterSendsOnce(t *testing.T) {
	srv := redistest.Start(t)
	link := redistest.NewLink(t, srv.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: link.Addr, DisableIdentity: true, MaxRetries: 3, MaxRetryBackoff: time.Millisecond})
	t.Cleanup(func() { _ = rdb.Close() })
	for command, e := range map[string]redisadapter.Emitter{
		"publish":  redisadapter.NewEmitter(rdb, redisadapter.Config{}),
		"spublish": redisadapter.NewShardedEmitter(rdb, redisadapter.Config{}),
		"xadd":     redisadapter.NewStreamsEmitter(rdb, "", 0, redisadapter.Config{}),
	} {
		if err := e.Emit(t.Context(), "first"); err != nil {
			t.Fatal(command, err)
		}
		link.HoldReplies()
		failed := make(chan error)
		go func() { failed <- e.Emit(t.Context(), "second") }()
		until(t, "Redis has both", func() bool { return calls(t, srv, command) == 2 })
		link.Break()
		link.Release()
		if err := <-failed; err == nil {
			t.Error(command, "has succeeded without an answer")
		}
		if n := calls(t, srv, command); n != 2 {
			t.Errorf("%d × %s for 2 events", n, command)
		}
	}
	if rdb.Options().MaxRetries != 3 {
		t.Error("the program's client was changed")
	}
}

// calls returns how often a command was called.
func calls(t *testing.T, srv *redistest.Server, command string) int {
	info, err := srv.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	n, _, _ := strings.Cut(line, ",")
	count, _ := strconv.Atoi(n)
	return count
}

// TestStreamsEmitterBoundsStream names a bug: with a maxLen of zero the stream grew without end.
func TestStreamsEmitterBoundsStream(t *testing.T) {
	srv := redistest.Start(t)
	e := redisadapter.NewStreamsEmitter(srv.Client(), "", 0, redisadapter.Config{})
	rdb := srv.Client()
	for range 101 { // not in one pipeline, which takes a busy machine longer than the client waits
		if err := rdb.Eval(t.Context(), "for i = 1, 1000 do redis.call('XADD', KEYS[1], '*', 'a', 'b') end", []string{"socket.io"}).Err(); err != nil && err != redis.Nil {
			t.Fatal(err)
		}
	}
	if err := e.Emit(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	if n := rdb.XLen(t.Context(), "socket.io").Val(); n > 100_200 {
		t.Errorf("%d entries", n)
	}
}
