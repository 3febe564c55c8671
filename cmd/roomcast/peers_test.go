package main

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/config"
)

// TestRedisLog names a bug: while Redis was away go-redis wrote ten lines of its own a second, between those of the
// program, in JSON as well.
func TestRedisLog(t *testing.T) {
	c := &config.Config{Redis: "redis://127.0.0.1:1"}
	c.RedisWait = config.Duration(50 * time.Millisecond)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options := &redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}
	if _, err := join(context.Background(), c, prepared{redis: options}, log); err == nil {
		t.Fatal("joined without Redis")
	}
	if !bytes.Contains(out.Bytes(), []byte(`"msg":"go-redis: `)) {
		t.Errorf("go-redis writes elsewhere; here is %s", out.String())
	}
}
