package cluster

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/roomcast/roomcast/engine"
)

// BenchmarkPollingEcho is a message and its echo by polling, a POST and a GET,
// over loopback TCP: to the session's node, through another, and through another and the store.
func BenchmarkPollingEcho(b *testing.B) {
	s := newStore()
	start := func(direct bool) (url string) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		cfg := Config{Store: s, Logger: slog.New(slog.DiscardHandler)}
		if direct {
			cfg.Advertise = inner.Addr().String()
		}
		node, err := Join(context.Background(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		srv := engine.New(engine.Config{Handler: new(upper), NewID: node.NewID, Stranger: node.Forward})
		go node.Serve(inner, srv)
		public, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		web := &http.Server{Handler: srv}
		go web.Serve(public)
		b.Cleanup(func() {
			srv.Shutdown(context.Background())
			node.Close(context.Background())
			web.Close()
		})
		return "http://" + public.Addr().String() + "/?EIO=4&transport=polling"
	}
	get := func(url string) string {
		res, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return string(text)
	}
	owner, entry, lonely := start(true), start(true), start(false)
	for _, bb := range []struct{ name, owner, entry string }{
		{"own", owner, owner}, {"forwarded", owner, entry}, {"relayed", lonely, entry},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var open struct{ SID string }
			json.Unmarshal([]byte(strings.TrimPrefix(get(bb.owner), "0")), &open)
			url := bb.entry + "&sid=" + open.SID
			b.ReportAllocs()
			for b.Loop() {
				res, err := http.Post(url, "text/plain", strings.NewReader("4hello"))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if text := get(url); text != "4hello" {
					b.Fatal(text)
				}
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func BenchmarkSessionID(b *testing.B) {
	k := newKeys(testSecret)
	id := k.sessionID(5)
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			k.sessionID(5)
		}
	})
	b.Run("owner", func(b *testing.B) {
		for b.Loop() {
			k.owner(id)
		}
	})
}
