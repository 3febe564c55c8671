package main

import (
	"context"
	"reflect"
	"testing"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/queues"
)

// All that can be set in Go can be set in the program: settings in which everything has a value leave no option of the
// libraries without one, but for those that aren't the program's to be set.
func TestAllOptionsOfQueuesAreSettings(t *testing.T) {
	c := &config.Config{}
	fill(t, reflect.ValueOf(c).Elem())
	q := &config.Queue{}
	fill(t, reflect.ValueOf(q).Elem())
	for _, test := range []struct {
		options any
		but     []string
	}{
		{queueConfig(q), nil},
		{brokerConfig(c, discard), []string{"Store", "Node", "Authorize"}},
		{clientConfig(c, discard), []string{"Broker", "Principal"}},
		{redisConfig(c, discard), nil},
		{embeddedConfig(c, discard), []string{"FS", "Now"}},
	} {
		unset := map[string]bool{}
		zeros("", reflect.ValueOf(test.options), unset)
		for _, name := range test.but {
			if !unset[name] {
				t.Errorf("%T.%s is set", test.options, name)
			}
			delete(unset, name)
		}
		for name := range unset {
			t.Errorf("%T.%s can't be set in the program", test.options, name)
		}
	}
}

// fill gives all settings that are simple a value: each another one, so that none is taken for another.
func fill(t *testing.T, v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Struct:
			if f.Type() != reflect.TypeFor[config.Access]() {
				fill(t, f)
			}
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(i + 1))
		case reflect.Float64:
			f.SetFloat(float64(i + 1))
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
		default:
			t.Fatalf("what is %s?", f.Type())
		}
	}
}

// zeros adds the names of exported fields of v that are zero.
func zeros(prefix string, v reflect.Value, names map[string]bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !f.IsExported():
		case f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == v.Type().PkgPath():
			zeros(prefix+f.Name+".", v.Field(i), names)
		case v.Field(i).IsZero():
			names[prefix+f.Name] = true
		}
	}
}

// The defaults of the settings, which docs/configuration.md lists, are those of the libraries.
func TestDefaultsAreTheLibraries(t *testing.T) {
	c := config.Default()
	got, want := brokerConfig(&c, discard).WithDefaults(), queues.BrokerConfig{Logger: discard}.WithDefaults()
	got.Authorize, want.Authorize = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("of a broker:\n%+v\nthe library's:\n%+v", got, want)
	}
}

// TestQueuesAreMadeAgain: a store that has lost its data, such as a Redis that was started without its log, gets the
// queues of the settings again while the program runs. Once they were missing until its next start.
func TestQueuesAreMadeAgain(t *testing.T) {
	c := config.Default()
	c.QueueStore = "memory"
	c.Queues = []config.Queue{{Name: "lost", MaxFailures: 2}, {Name: "kept", MaxFailures: 3}}
	ctx := t.Context()
	q, err := openQueues(ctx, &c, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer q.close(context.Background())
	if err := q.broker.Configure(ctx, "kept", queues.Config{MaxFailures: 7}); err != nil { // by an operator
		t.Fatal(err)
	}
	if err := q.store.Delete(ctx, "lost", true); err != nil {
		t.Fatal(err)
	}
	q.restore(ctx, discard)
	for name, failures := range map[string]int{"lost": 2, "kept": 7} {
		if cfg, err := q.store.Config(ctx, name); err != nil || cfg.MaxFailures != failures {
			t.Errorf("%s: %d failures, %v; want %d", name, cfg.MaxFailures, err, failures)
		}
	}
}
