package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// TestTranscripts plays the conversations in testdata over every transport.
//
//	over polling websocket    which; polling and websocket if it isn't said
//	recovery                  with connection state recovery on
//	# …                       a comment
//	> 42["hi"]                the client sends an Engine.IO message; > a > b: both at once
//	< 42["ho"]                the server does, and nothing before it
//	ada > 40                  so does another client, called ada
//	< end                     the connection ends
//	cut                       the client cuts it
//	wait 10s
//
// $id in what the server sends stands for what isn't known before: a word of
// letters, digits, - and _, the same wherever $id stands again. What the server sends after
// the last line fails the test.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		over, recovery := transports, false
		for len(lines) > 0 {
			word, rest, _ := strings.Cut(lines[0], " ")
			switch word {
			case "over":
				over = strings.Fields(rest)
			case "recovery":
				recovery = true
			case "#", "":
			default:
				word = "end"
			}
			if word == "end" {
				break
			}
			lines = lines[1:]
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		for _, transport := range over {
			t.Run(name+"/"+transport, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { play(t, lines, transport, recovery) })
			})
		}
	}
}

func play(t *testing.T, lines []string, transport string, recovery bool) {
	cfg := server.Config{CleanupEmpty: true, Engine: engine.Config{EIO3: true}}
	if recovery {
		cfg.Recovery = &server.Recovery{}
	}
	io, ts := serve(t, cfg)
	partners(io)
	clients := map[string]*wire{}
	known := map[string]string{}
	for n, line := range lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if d, ok := strings.CutPrefix(line, "wait "); ok {
			pause, err := time.ParseDuration(d)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
			continue
		}
		who, act, rest := parseLine(line)
		c := clients[who]
		if c == nil {
			c = dial(t, ts, transport)
			clients[who] = c
		}
		switch act {
		case ">":
			packets := strings.Split(rest, " > ")
			for i, p := range packets {
				for name, value := range known {
					p = strings.ReplaceAll(p, "$"+name, value)
				}
				packets[i] = p
			}
			c.send(packets...)
			synctest.Wait()
		case "<":
			if got := c.next(); !matches(rest, got, known) {
				t.Fatalf("line %d: got  %s\nwant %s", n+1, got, rest)
			}
		case "cut":
			c.cut()
			delete(clients, who)
			synctest.Wait()
		default:
			t.Fatalf("line %d: %q", n+1, line)
		}
	}
	synctest.Wait()
	for who, c := range clients {
		for len(c.in) > 0 {
			if p := <-c.in; p != "2" {
				t.Errorf("client %q got more: %s", who, p)
			}
		}
		c.cut()
	}
	if err := io.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func parseLine(line string) (who, act, rest string) {
	who, rest, _ = strings.Cut(line, " ")
	if who == "<" || who == ">" || who == "cut" {
		return "", who, rest
	}
	act, rest, _ = strings.Cut(rest, " ")
	return who, act, rest
}

var names = regexp.MustCompile(`\\\$([a-z]+)`)

// matches compares what came with a line of a transcript, and notes what its names stand for.
func matches(line, got string, known map[string]string) bool {
	var learned []string
	pattern := names.ReplaceAllStringFunc(regexp.QuoteMeta(line), func(m string) string {
		name := m[2:]
		if value, ok := known[name]; ok {
			return regexp.QuoteMeta(value)
		}
		learned = append(learned, name)
		return `([A-Za-z0-9_-]+)`
	})
	found := regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range learned {
		known[name] = found[i+1]
	}
	return true
}

// partners are the handlers to whom the transcripts speak.
func partners(io *server.Server) {
	main := io.Of("/")
	main.Handle("echo", func(ctx context.Context, e *server.Event) error {
		args := make([]any, e.Args.Len())
		for i := range args {
			if err := e.Args.Decode(i, &args[i]); err != nil {
				return err
			}
		}
		if e.WantsAck() {
			return e.Ack(args...)
		}
		return e.Socket.Emit(ctx, "echo", args...)
	})
	server.OnAck(main, "length", func(_ context.Context, _ *server.Socket, text string) (int, error) { return len(text), nil })
	server.On(main, "ask", func(ctx context.Context, s *server.Socket, v any) error {
		a, err := s.Call(ctx, "question", v)
		if err != nil {
			return s.Emit(ctx, "failed", err.Error())
		}
		var answer any
		if err := a.Decode(&answer); err != nil {
			return err
		}
		return s.Emit(ctx, "answered", answer)
	})
	server.On(main, "fail", func(_ context.Context, _ *server.Socket, code string) error {
		if code == "" {
			return errors.New("nobody's business")
		}
		return server.Errorf(code, "it can't be")
	})
	server.On(main, "leave", func(_ context.Context, s *server.Socket, all bool) error {
		s.Disconnect(all)
		return nil
	})

	chat := io.Of("/chat")
	server.OnAck(chat, "join", func(_ context.Context, s *server.Socket, room string) (int, error) {
		return chat.Count(room) + 1, s.Join(room)
	})
	server.On(chat, "say", func(ctx context.Context, s *server.Socket, m struct{ Room, Text string }) error {
		return s.To(m.Room).Emit(ctx, "said", m.Text)
	})
	server.On(chat, "all", func(ctx context.Context, _ *server.Socket, v any) error { return chat.Emit(ctx, "all", v) })
	server.On(chat, "leave", func(_ context.Context, s *server.Socket, all bool) error {
		s.Disconnect(all)
		return nil
	})

	guarded := io.Of("/guarded")
	guarded.Use(func(ctx context.Context, s *server.Socket) error {
		var auth struct{ Token string }
		if err := s.Handshake().DecodeAuth(&auth); err != nil {
			return err
		}
		switch auth.Token {
		case "good":
			return s.Emit(ctx, "early") // ahead of the answer, as officially
		case "":
			return errors.New("no token")
		}
		return &server.Error{Message: "bad token", Data: map[string]string{"token": auth.Token}}
	})
	server.OnAck(guarded, "auth", func(_ context.Context, s *server.Socket, _ any) (json.RawMessage, error) {
		return s.Handshake().Auth, nil
	})

	server.OnAck(io.OfMatch(regexp.MustCompile(`^/org-\d+$`)), "where",
		func(_ context.Context, s *server.Socket, _ any) (string, error) { return s.Namespace().Name(), nil })
}
