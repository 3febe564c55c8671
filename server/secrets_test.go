package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestLogs: whatever clients do, the log has neither the ids by which sessions could
// be taken over nor lines of the clients' making.
func TestLogs(t *testing.T) {
	synctest.Test(t, testLogs)
}

func testLogs(t *testing.T) {
	var log logBuffer
	io, err := server.New(server.Config{
		Recovery: &server.Recovery{},
		Limits:   server.Limits{PacketsPerSecond: 20},
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ns := io.Of("/")
	server.On(ns, "fail", func(_ context.Context, _ *server.Socket, text string) error { return errors.New(text) })
	server.On(ns, "panic", func(_ context.Context, _ *server.Socket, text string) error { panic(text) })
	ts := servertest.Serve(t, io)
	t.Cleanup(func() { io.Shutdown(context.Background()) })

	var secrets []string
	const forged = "\nlevel=ERROR msg=forged\x1b[31m"
	for _, packets := range [][]string{
		{`42["fail","` + `\nlevel=ERROR msg=forged\u001b[31m"]`, `42["panic","\nlevel=ERROR msg=forged\u001b[31m"]`},
		{"4x" + forged},
		{"40/x" + forged + ","},
		{`42["` + strings.Repeat("n", 200) + `"]`},
		{`42["` + `\n",1]`, "40"},
	} {
		p := open(t, ts)
		p.post("40")
		_, answer := p.get()
		for part := range strings.SplitSeq(p.query+"&"+answer, `"`) {
			if _, sid, ok := strings.Cut(part, "sid="); ok {
				secrets = append(secrets, strings.TrimSuffix(sid, "&40{"))
			}
			if len(part) == 20 && !strings.Contains(answer, `"sid":"`+part) {
				secrets = append(secrets, part) // the private id
			}
		}
		p.post(strings.Join(packets, "\x1e"))
		p.get()
		p.get()
	}
	w := dial(t, ts, "websocket")
	w.connect("/", "")
	for range 50 { // over the rate
		w.send(`42["e"]`)
	}
	w.send("43")
	w.cut()
	if err := io.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	text := log.b.String()
	if len(secrets) != 10 {
		t.Fatalf("there are %d secrets: %q", len(secrets), secrets)
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("the log has %s", s)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "\x1b") {
			t.Errorf("a line of the client's making: %s", line)
		}
	}
	for _, want := range []string{"closing a client for a bad packet", "a handler failed", "a handler panicked"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log doesn't say %q", want)
		}
	}
}
