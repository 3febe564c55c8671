package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/server"
)

// The official tests of volatile events, in socket.ts and namespaces.ts. Where they
// expect the second of two volatile events to be dropped, both arrive here: an event is
// only dropped if the transport can't take it now, or 64 packets wait.
func TestVolatile(t *testing.T) {
	for _, transport := range transports {
		for _, broadcast := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				srv, ts := serve(t, server.Config{})
				ns := srv.Of("/chat")
				w := dial(t, ts, transport)
				w.connect("/chat", "")
				s := ns.Sockets()[0]
				ctx := t.Context()
				volatile := func(args ...any) {
					t.Helper()
					var err error
					if broadcast {
						err = ns.All().Volatile().Emit(ctx, "ev", args...)
					} else {
						err = s.EmitVolatile(ctx, "ev", args...)
					}
					if err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				volatile("idle")
				w.expect(`42/chat,["ev","idle"]`)
				synctest.Wait()
				volatile([]byte{1, 2, 3})
				w.expect(`451-/chat,["ev",{"_placeholder":true,"num":0}]`, "bAQID")
				synctest.Wait()
				if transport == "polling" {
					volatile("first")
					volatile("second") // goes with the same answer
					w.expect(`42/chat,["ev","first"]`, `42/chat,["ev","second"]`)
				}
				w.cut()
			})
		}
	}
}

// A client that can't take anything now misses volatile events, attachments and
// all, and gets the regular ones around them.
func TestVolatileIsDropped(t *testing.T) {
	t.Run("polling", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv, ts := serve(t, server.Config{})
			ns := srv.Of("/")
			p := open(t, ts)
			p.post("40")
			p.get()
			s := ns.Sockets()[0]
			ctx := t.Context()
			s.EmitVolatile(ctx, "ev", "no GET is held")
			s.Emit(ctx, "ev", 1)
			s.EmitVolatile(ctx, "ev", []byte{1})
			ns.All().Volatile().Emit(ctx, "ev", []byte{2})
			s.Emit(ctx, "ev", 2)
			if _, body := p.get(); body != "42[\"ev\",1]\x1e42[\"ev\",2]" {
				t.Errorf("%q", body)
			}
		})
	})
	t.Run("websocket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv, ts := serve(t, server.Config{})
			ns := srv.Of("/")
			w := dial(t, ts, "websocket")
			w.connect("/", "")
			s := ns.Sockets()[0]
			ctx := t.Context()
			// The wire's buffers are full, and its reader is held up by its channel.
			for range cap(w.in) {
				w.in <- "filled"
			}
			large := strings.Repeat("x", 100_000)
			s.Emit(ctx, "ev", large)
			s.Emit(ctx, "ev", large)
			synctest.Wait()
			s.EmitVolatile(ctx, "ev", "dropped")
			ns.All().Volatile().Emit(ctx, "ev", []byte{1})
			s.Emit(ctx, "ev", "regular")
			for range cap(w.in) {
				w.expect("filled")
			}
			w.expect(`42["ev","`+large+`"]`, `42["ev","`+large+`"]`, `42["ev","regular"]`)
			synctest.Wait()
			s.EmitVolatile(ctx, "ev", "again")
			w.expect(`42["ev","again"]`)
			w.cut()
		})
	})
}

// namespaces.ts, socket.ts: compression, where the transport does it
func TestCompress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, ts := serve(t, server.Config{})
		ns := srv.Of("/")
		p := open(t, ts)
		p.post("40")
		p.get()
		text := strings.Repeat("a", 2000)
		for _, compress := range []bool{true, false} {
			if err := ns.All().Compress(compress).Emit(t.Context(), "woot", text); err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(context.Background(), "GET", "http://memory/socket.io/?"+p.query, nil)
			req.Header.Set("Accept-Encoding", "gzip")
			res, err := p.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := res.Header.Get("Content-Encoding") == "gzip"; got != compress {
				t.Errorf("compressed %v, want %v", got, compress)
			} else if got {
				z, err := gzip.NewReader(bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				body, _ = io.ReadAll(z)
			}
			if string(body) != `42["woot","`+text+`"]` {
				t.Errorf("%.50s", body)
			}
		}
	})
}
