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
