package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQueueCommand: the queues of a running server, from the shell; and what they hold
// outlives a server that is killed.
func TestQueueCommand(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := serveProcess(t, "--demo", "--data", data)
	queue := func(want string, args ...string) {
		t.Helper()
		code, out := runProgram(t, nil, append([]string{"queue", "--server", p.internal, "--data", data}, args...)...)
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%q: %d %s, want %q", args, code, out, want)
		}
	}
	queue("a is number 1", "publish", "demo", `{"n":1}`, "--id", "a")
	queue("there already", "publish", "demo", `{"n":1}`, "--id", "a")
	queue("number 2", "publish", "demo", `"later"`, "--delay", "1h")
	queue(`"data":{"n":1}`, "peek", "demo")
	queue(`"later"`, "peek", "demo", "--state", "scheduled")
	queue("paused: consume", "pause", "demo", "--consume")
	queue("consume", "list")
	queue("paused: both", "pause", "demo") // once it paused nothing
	queue("paused: nothing", "resume", "demo")
	queue("paused: consume", "pause", "demo", "--consume")

	if mode := fileMode(t, filepath.Join(data, "api-token")); mode != 0o600 {
		t.Errorf("the token's file has mode %o", mode)
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	p = serveProcess(t, "--demo", "--data", data)
	queue(`"id":"a"`, "peek", "demo")
	queue("paused: nothing", "resume", "demo", "--consume")
	queue("0 ready again", "redrive", "demo")
	queue("2 deleted", "purge", "demo")

	for _, id := range []string{"b", "c"} {
		queue(id+" is number", "publish", "demo", "1", "--id", id, "--ttl", "1h")
	}

	for _, tt := range []struct {
		code int
		want string
		args []string
	}{
		{exitOK, `"id":"c"`, []string{"--data", data, "peek", "demo", "--offset", "1"}},
		{exitFailed, "not_found: there is no queue nope", []string{"--data", data, "peek", "nope"}},
		{exitFailed, "not_found: there is no queue nope", []string{"--data", data, "show", "nope"}},
		{exitFailed, "not_found: there is no queue nope", []string{"--data", data, "delete", "nope", "--force"}},
		{exitFailed, "not_found: there is no inbox nobody", []string{"--data", data, "inbox", "nobody"}},
		{exitFailed, "negative", []string{"--data", data, "peek", "demo", "-n", "-1"}},
		{exitFailed, "no JSON API", []string{"--server", p.public, "--data", data, "list"}},
		{exitUsage, "ftp://here is no address", []string{"--server", "ftp://here", "--data", data, "list"}},
		{exitFailed, "unauthorized", []string{"list"}}, // with another token, see below
		{exitUsage, "isn't JSON", []string{"--data", data, "publish", "demo", "text"}},
		{exitUsage, "no such file", []string{"--token-file", filepath.Join(data, "none"), "list"}},
	} {
		env := []string{"ROOMCAST_API_TOKEN=" + strings.Repeat("x", 64)}
		code, out := runProgram(t, env, append([]string{"queue", "--server", p.internal}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: %d %s, want %d %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	// The server's folder says where it is, also to those who write addresses without http://.
	for _, args := range [][]string{{}, {"--server", strings.TrimPrefix(p.internal, "http://")}} {
		if code, out := runProgram(t, nil, append([]string{"queue", "list", "--data", data}, args...)...); code != exitOK || !strings.Contains(out, "demo") {
			t.Errorf("%q: %d %s", args, code, out)
		}
	}
	queue(`"ready": 2,`, "show", "demo")
	queue(`"maxFailures": 5,`, "show", "demo")
	r := &remote{server: p.internal, data: data}
	if err := r.do(t.Context(), "POST", "/inboxes", map[string]any{"to": []string{"Ann B."}, "data": 1}, &struct{}{}); err != nil {
		t.Error(err)
	}
	queue(`"len": 1,`, "inbox", "Ann B.")
	queue("demo is deleted", "delete", "demo")

	if code, out := runProgram(t, nil, "queue", "--server", p.internal, "list"); code != exitUsage || !strings.Contains(out, "--token-file") {
		t.Errorf("without a token: %d %s", code, out)
	}
}

// TestDataInUse: two servers can't have one folder.
func TestDataInUse(t *testing.T) {
	data := t.TempDir()
	serveProcess(t, "--demo", "--data", data)
	code, out := runProgram(t, nil, "serve", "--demo", "--listen=127.0.0.1:0", "--data", data)
	if code == exitOK || !strings.Contains(out, data) || !strings.Contains(out, "use") {
		t.Errorf("%d %s", code, out)
	}
}

func fileMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
