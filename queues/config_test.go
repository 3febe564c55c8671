package queues_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// A configuration that was read back and stored again changes: "none" had become the default.
func TestDefaultsOnce(t *testing.T) {
	for _, c := range []queues.Config{
		{},
		{Lease: -1, MaxFailures: -1, MaxAttempts: -1, BackoffBase: -1, BackoffMax: -1, MaxLen: -1, MaxBytes: -1, TTL: -1,
			DeadTTL: -1, DeadMax: -1, Dedupe: -1, DedupeBytes: -1, Rate: -1, Burst: -1, PublishRate: -1, PublishBurst: -1,
			MaxPayload: -1, MaxProcessing: -1, MaxConsumers: -1},
		{Lease: 1, MaxLen: 1, BackoffBase: time.Hour, BackoffMax: time.Second, PublishRate: 0.5, Overflow: queues.DropOldest},
	} {
		once := c.WithDefaults()
		b, err := json.Marshal(once)
		if err != nil {
			t.Fatal(err)
		}
		var again queues.Config
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		if again = again.WithDefaults(); again != once {
			t.Errorf("%+v became %+v", once, again)
		}
	}
}

// Dead letters that were to be kept for ever went after 13 days: what stood for no bound was a number of milliseconds, and was
// taken for nanoseconds.
func TestNoTimeIsLong(t *testing.T) {
	c := queues.Config{DeadTTL: -1, MaxProcessing: -1}.WithDefaults()
	b := queues.BrokerConfig{InboxIdle: -1}.WithDefaults()
	for what, d := range map[string]time.Duration{"DeadTTL": c.DeadTTL, "MaxProcessing": c.MaxProcessing, "InboxIdle": b.InboxIdle} {
		if until := time.Now().Add(d); until.Before(time.Now().AddDate(50, 0, 0)) {
			t.Errorf("%s is %v", what, d)
		}
	}
}

func TestBackoff(t *testing.T) {
	c := queues.Config{}.WithDefaults()
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, math.MaxInt: 5 * time.Minute} {
		if got := c.Backoff(failures, 0.5); got != want {
			t.Errorf("after %d: %v, want %v", failures, got, want)
		}
		if low, high := c.Backoff(failures, 0), c.Backoff(failures, 1); low != want*4/5 || high != want*6/5 {
			t.Errorf("after %d: %v to %v", failures, low, high)
		}
	}
	none := queues.Config{BackoffBase: -1}.WithDefaults()
	if got := none.Backoff(3, 1); got != 0 {
		t.Errorf("none is %v", got)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"orders.*", "orders.new", true}, {"orders.*", "orders", false}, {"orders.*", "xorders.new", false},
		{"*", "", true}, {"*", "x", true}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "abcd", false},
		{"a*b*c", "a-b-c", true}, {"a*b*c", "a-c-b", false}, {"ab*ba", "aba", false}, {"x", "x", true}, {"x", "xy", false},
		{"**", "x", true}, {"a*a", "a", false},
	} {
		if got := queues.Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q %q: %v", c.pattern, c.name, got)
		}
	}
}
