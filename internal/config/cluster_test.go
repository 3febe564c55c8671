package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRedis(t *testing.T) {
	for _, tt := range []struct {
		text string
		want RedisTarget
	}{
		{"redis://localhost", RedisTarget{Addrs: []string{"localhost:6379"}}},
		{"redis://localhost:1/3", RedisTarget{Addrs: []string{"localhost:1"}, DB: 3}},
		{"rediss://u%40x:p%3Aw:d@[::1]:2", RedisTarget{Addrs: []string{"[::1]:2"}, Username: "u@x", Password: "p:w:d", TLS: true}},
		{"redis://:secret@h", RedisTarget{Addrs: []string{"h:6379"}, Password: "secret"}},
		{"redis://a:1,b,[::1]", RedisTarget{Addrs: []string{"a:1", "b:6379", "[::1]:6379"}, Cluster: true}},
		{"redis+cluster://a/0", RedisTarget{Addrs: []string{"a:6379"}, Cluster: true}},
		{"rediss+sentinel://a,b:5/main/2", RedisTarget{Addrs: []string{"a:26379", "b:5"}, Master: "main", DB: 2, TLS: true}},
	} {
		got, err := ParseRedis(tt.text)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		}
		if strings.Contains(got.String(), "secret") || strings.Contains(got.String(), "p:w") {
			t.Errorf("%s shows its password: %s", tt.text, got)
		}
	}
	for _, text := range []string{
		"", "localhost:6379", "http://h", "redis+x://h", "redis+://h", "unix:///tmp/s", "redis://", "redis://h:0", "redis://h:x",
		"redis://h/x", "redis://h/-1", "redis://a,b/1", "redis://a,", "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a/m/",
		"redis://h?db=1", "redis://u:%zz@h", "redis://secret:pass:word@h:port",
	} {
		if got, err := ParseRedis(text); err == nil {
			t.Errorf("%q is taken: %+v", text, got)
		} else if strings.Contains(err.Error(), "secret:pass") || strings.Contains(err.Error(), "%zz") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func FuzzParseRedis(f *testing.F) {
	f.Add("redis://u:p@h:1,[::1]/2")
	f.Add("rediss+sentinel://h/m/1")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseRedis(text)
		if err == nil && (len(got.Addrs) == 0 || got.DB < 0) {
			t.Errorf("%q gives %+v", text, got)
		}
	})
}

func TestClusterSettings(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, tt := range []struct{ yaml, want string }{
		{"redis: http://h", "redis: the scheme"},
		{"redis: redis://u:p@h\nredis_username: u", "redis_username"},
		{"redis: redis://u:p@h\nredis_password_file: f", "redis_password: set it in one place"},
		{"redis: redis://h\nredis_password: p\nredis_password_file: f", "redis_password: set it in one place"},
		{"redis: redis://h\nredis_ca: f", "need a URL with rediss"},
		{"redis: rediss://h\nredis_cert: f", "set both"},
		{"redis: redis://h\nredis_sentinel_username: u", "redis+sentinel"},
		{"redis_prefix: \"\"", "redis_prefix"},
		{"adapter: stream", "did you mean streams?"},
		{"sharded: {mode: x}", "sharded.mode"},
		{"streams: {max_len: 15}", "streams.max_len"},
		{"streams: {count: off}", "streams.count: can't be off"},
		{"cluster_listen: x", "cluster_listen"},
		{"cluster_listen: \":8080\"", "another listener's"},
		{"advertise: h", "advertise"},
		{"advertise: 0.0.0.0:1", "nobody reaches"},
		{"advertise: h:1\ncluster_listen: off", "cluster_listen is off"},
		{"node_name: " + long, "node_name"},
		{"cluster_secret: short", "at least 32"},
		{"cluster_secret: " + long + "\ncluster_secret_file: f", "cluster_secret"},
		{"limits: {forwards: off}", "limits.forwards: can't be off"},
	} {
		if _, err := load(t, tt.yaml, nil, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.yaml, err, tt.want)
		}
	}
	if _, err := load(t, "redis: rediss://h\nadapter: sharded\ncluster_listen: 10.0.0.1:7000\nadvertise: n1.example:7000\nredis_wait: off", nil,
		[]string{"--redis-password-file=/run/secrets/redis", "--limits-forwards=5"}); err != nil {
		t.Error(err)
	}
}
