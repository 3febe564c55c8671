package queueapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// All that can be said of a queue in Go can be said on the wire, under the same names, times in milliseconds.
func TestConfigHasAllOptions(t *testing.T) {
	in := map[string]any{}
	var want queues.Config
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		f, n := v.Field(i), i+1
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch f.Interface().(type) {
		case time.Duration:
			f.SetInt(int64(n) * int64(time.Millisecond))
			in[name+"Ms"] = n
			continue
		case int, int64:
			f.SetInt(int64(n))
		case float64:
			f.SetFloat(float64(n))
		case bool:
			f.SetBool(true)
		default:
			f.SetString("x")
		}
		in[name] = f.Interface()
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig(raw)
	if err != nil || got != want {
		t.Errorf("%s\nis %+v, %v\nwant %+v", raw, got, err, want)
	}
}

// What is read of a queue's configuration can be written again, and changes nothing.
func TestSettingsAgain(t *testing.T) {
	for _, c := range []queues.Config{
		{},
		{MaxFailures: -1, MaxAttempts: -1, BackoffBase: -1, BackoffMax: -1, MaxLen: -1, MaxBytes: -1, TTL: -1, DeadTTL: -1, DeadMax: -1,
			Dedupe: -1, DedupeBytes: -1, Rate: -1, PublishRate: -1, MaxPayload: -1, MaxProcessing: -1, MaxConsumers: -1},
		{Lease: time.Minute, MaxLen: 3, TTL: time.Hour, Rate: 0.5, Burst: 7, PublishRate: 3, PublishBurst: 9, Overflow: queues.DropOldest,
			OnFail: queues.Skip, DeadLetterExpired: true, Durability: "replica", Dedupe: time.Second, DeadTTL: time.Hour},
	} {
		c = c.WithDefaults()
		raw, err := json.Marshal(SettingsOf(c))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(raw)
		if again = again.WithDefaults(); err != nil || again != c {
			t.Errorf("%+v became %s, and %+v, %v", c, raw, again, err)
		}
	}
}
