package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/cluster"
	"github.com/roomcast/roomcast/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: ", what)
		}
	}
}

func TestStore(t *testing.T) {
	s := redistest.Start(t)
	t.Run("single", func(t *testing.T) { testStore(t, s.Client()) })
	t.Run("cluster", func(t *testing.T) { testStore(t, redistest.StartCluster(t).Client()) })
}

func testStore(t *testing.T, rdb redis.UniversalClient) {
	ctx := t.Context()
	s := New(rdb, "")
	for _, proposal := range []string{"first", "second"} {
		if got, err := s.Secret(ctx, []byte(proposal)); err != nil || string(got) != "first" {
			t.Fatalf("the secret is %q, %v", got, err)
		}
	}
	if got, err := New(rdb, "other").Secret(ctx, []byte{0, 1, 255}); err != nil || !bytes.Equal(got, []byte{0, 1, 255}) {
		t.Errorf("another cluster's secret is %q, %v", got, err)
	}

	a := cluster.Member{ID: 1, Name: "a é \" \n", Addr: "10.0.0.1:1", Started: time.Now(), Sessions: 7, Draining: true}
	if _, err := s.Beat(ctx, a, time.Second); err != nil {
		t.Fatal(err)
	}
	roll, err := s.Beat(ctx, cluster.Member{ID: 2, Name: "b"}, time.Second)
	if err != nil || len(roll.Members) != 2 {
		t.Fatalf("%+v, %v", roll, err)
	}
	for _, m := range roll.Members {
		if m.ID == 1 && (m.Name != a.Name || m.Addr != a.Addr || !m.Started.Equal(a.Started) || m.Sessions != 7 || !m.Draining) {
			t.Errorf("%+v came back as %+v", a, m)
		}
		if m.Ago < 0 || m.Ago > patience {
			t.Errorf("%s was seen %s ago", m.Name, m.Ago)
		}
	}
	if d := time.Since(roll.Now).Abs(); d > time.Minute {
		t.Errorf("the store's time is %s from ours", d)
	}
	// What others put there is left out, and then forgotten like everybody else.
	rdb.HSet(ctx, "roomcast:nodes", "x", "garbage", "y", fmt.Sprintf("%d {", time.Now().Add(time.Hour).UnixMilli()))
	until(t, "only the one that beats is left", func() bool {
		roll, err := s.Beat(ctx, cluster.Member{ID: 2, Name: "b"}, 30*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return len(roll.Members) == 1 && roll.Members[0].Name == "b"
	})

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if heard, err := s.Send(ctx, 5, []byte("x")); heard || err != nil {
		t.Errorf("nobody listens: %v, %v", heard, err)
	}
	got := make(chan string, 10)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := s.Receive(ctx, 5, func(m []byte) { got <- string(m) }); err != nil {
			t.Error(err)
		}
	})
	until(t, "somebody listens", func() bool {
		heard, err := s.Send(ctx, 5, []byte("hello"))
		return heard && err == nil
	})
	large := strings.Repeat("\x00é", 100_000)
	if heard, err := s.Send(ctx, 5, []byte(large)); !heard || err != nil {
		t.Errorf("%v, %v", heard, err)
	}
	if m := <-got; m != "hello" {
		t.Errorf("got %q", m)
	}
	if m := <-got; m != large {
		t.Errorf("got %d bytes", len(m))
	}
	cancel()
	tasks.Wait()
}

// TestNodesOverRedis: nodes find each other, live through a Redis that is
// killed and loses everything, and hear each other's messages again.
func TestNodesOverRedis(t *testing.T) {
	r := redistest.Start(t)
	join := func(name string) *cluster.Node {
		rdb := redis.NewClient(&redis.Options{Addr: r.Addr, DisableIdentity: true, ContextTimeoutEnabled: true})
		n, err := cluster.Join(t.Context(), cluster.Config{Store: New(rdb, ""), Name: name, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = n.Close(context.Background())
			rdb.Close()
		})
		return n
	}
	a := join("a")
	b := join("b")
	both := func() bool { return len(a.Members()) == 2 && len(b.Members()) == 2 }
	until(t, "they know each other", both)
	r.Kill()
	until(t, "a beat fails", func() bool { return a.Stats().BeatFailures.Load() > 0 && b.Stats().BeatFailures.Load() > 0 })
	if !both() {
		t.Error("a node is taken for dead since Redis is")
	}
	r.Restart()
	begin := time.Now()
	until(t, "the store answers again", func() bool { return a.Heard().After(begin) && b.Heard().After(begin) })
	if !both() {
		t.Error("a node is taken for dead since Redis has lost its data")
	}
	store := New(r.Client(), "")
	until(t, "they hear messages again", func() bool {
		heard1, _ := store.Send(t.Context(), a.ID(), []byte("x"))
		heard2, _ := store.Send(t.Context(), b.ID(), []byte("x"))
		return heard1 && heard2
	})
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	until(t, "b has left", func() bool { return len(a.Members()) == 1 })
}

func TestTooManyNodes(t *testing.T) {
	r := redistest.Start(t)
	s := New(r.Client(), "")
	if _, err := s.Beat(t.Context(), cluster.Member{ID: 1}, time.Minute); err != nil {
		t.Fatal(err)
	}
	nodes := make(map[string]any)
	for i := 1; i < maxNodes; i++ {
		id := cluster.ID(i + 1).String()
		nodes[id] = fmt.Sprintf(`%d {"id":%q}`, time.Now().UnixMilli(), id)
	}
	if err := r.Client().HSet(t.Context(), "roomcast:nodes", nodes).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Beat(t.Context(), cluster.Member{ID: maxNodes + 1}, time.Minute); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more: %v", err)
	}
	if roll, err := s.Beat(t.Context(), cluster.Member{ID: 1}, time.Minute); err != nil || len(roll.Members) != maxNodes {
		t.Errorf("one of them: %d, %v", len(roll.Members), err)
	}
}

func FuzzRoll(f *testing.F) {
	f.Add("1795382431568", "0", `{"id":"000000000001","name":"a"}`)
	f.Add("x", "-1", "{")
	f.Fuzz(func(t *testing.T, now, ago, member string) {
		roll, err := parseRoll([]string{now, ago, member})
		for _, m := range roll.Members {
			if err == nil && (m.ID == 0 || len(m.Addr) > 255) {
				t.Errorf("%+v", m)
			}
		}
		parseRoll([]string{now, ago})
	})
}
