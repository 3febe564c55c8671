package server_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// What clients must not send, from the tables of the protocol: the connection is
// closed, and nobody else notices.
var (
	badPackets = map[string][]string{
		"unknown type":            {"47"},
		"no digit":                {"4abc"},
		"nothing":                 {"4"},
		"no JSON":                 {`42["x"`},
		"no array":                {`42{}`},
		"no name":                 {`42[]`},
		"a name that is null":     {`42[null]`},
		"reserved":                {`42["connect"]`},
		"reserved, with escapes":  {`42["\u0064isconnecting"]`},
		"an ack without array":    {`430{}`},
		"CONNECT with an array":   {`40/other,[]`},
		"DISCONNECT with data":    {`41{"x":1}`},
		"an error that is a list": {`44["handle me please"]`},
		"ack id 2^64":             {`4218446744073709551616["x"]`},
		"no number":               {`45["x"]`},
		"raw text as binary":      {"45woooot"},
		"empty binary":            {"45"},
		"no attachments":          {`450-["x"]`},
		"a negative number":       {`45-1-["x"]`},
		"eleven":                  {`4511-["x"]`},
		"a billion":               {`451000000000-["x"]`},
		"no placeholder":          {`451-["x"]`},
		"a placeholder too much":  {`451-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`},
		"one twice":               {`452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`},
		"a text among binary":     {`451-["x",{"_placeholder":true,"num":0}]`, `42["x"]`},
		"binary without a header": {"bAQID"},
		"nested too deep":         {`42["x",` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "]"},
		"a name too long":         {`42["` + strings.Repeat("x", 129) + `"]`},
		"a namespace too long":    {"40/" + strings.Repeat("x", 255) + ","},
	}
	badStates = map[string][]string{
		"a second CONNECT":           {"40"},
		"an event somewhere else":    {`42/other,["x"]`},
		"half of one":                {`451-/other,["x",{"_placeholder":true,"num":0}]`},
		"an ack somewhere else":      {"43/other,0[]"},
		"a DISCONNECT of another":    {"41/other,"},
		"a second DISCONNECT":        {"41", "41"},
		"CONNECT_ERROR from clients": {`44{"message":"x"}`},
	}
)

// reasons gathers why sockets of / disconnect.
func reasons(io *server.Server) <-chan string {
	c := make(chan string, 10)
	io.Of("/").OnDisconnect(func(_ context.Context, _ *server.Socket, reason string) { c <- reason })
	return c
}

func TestBadPackets(t *testing.T) {
	for _, transport := range transports {
		for kind, list := range map[string]map[string][]string{"packet": badPackets, "state": badStates} {
			for name, packets := range list {
				t.Run(transport+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						io, ts := serve(t, server.Config{})
						io.Of("/other")
						left := reasons(io)
						bystander := ts.Connect("/")
						w := dial(t, ts, transport)
						w.connect("/", "")
						synctest.Wait() // the next GET is there
						w.send(packets...)
						w.expect("end")
						synctest.Wait()
						want := server.ReasonForced
						if name == "a second DISCONNECT" {
							want = server.ReasonClient // before it became a violation
						}
						if got := <-left; got != want {
							t.Errorf("the socket's reason is %q, want %q", got, want)
						}
						if n := io.Stats().Namespaces.Rejected[kind]; n != 1 {
							t.Errorf("%d counted as %q: %v", n, kind, io.Stats().Namespaces.Rejected)
						}
						if n := len(io.Of("/").Sockets()); n != 1 || io.Of("/").Socket(bystander.ID()) == nil {
							t.Errorf("%d sockets left", n)
						}
						bystander.Close()
					})
				})
			}
		}
	}
}

// A connection without a namespace is closed for the same, and without a socket to tell.
// Attachments are not waited for.
func TestBadFirstPackets(t *testing.T) {
	for _, transport := range transports {
		for _, packet := range []string{`42["x"]`, "430[]", "41", `44{}`, "4x", `451-["x",{"_placeholder":true,"num":0}]`} {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{})
				w := dial(t, ts, transport)
				w.send(packet)
				if p := w.next(); p != "end" {
					t.Errorf("%s, %s: %s", transport, packet, p)
				}
				w.cut()
				synctest.Wait()
				if n := io.Stats().Namespaces.Clients; n != 0 {
					t.Errorf("%d clients left", n)
				}
			})
		}
	}
}

// The bodies that a polling client sees, byte for byte, when no GET was held.
func TestViolationBodies(t *testing.T) {
	for name, test := range map[string]struct {
		packets []string
		bodies  []string // of the next GETs
		reason  string   // of the socket in /, if there is one
	}{
		"several CONNECT packets":              {[]string{"40", "40"}, []string{"40{", "6\x1e1"}, server.ReasonForcedLater},
		"an EVENT packet while not connected":  {[]string{`42["some event"]`}, []string{"6\x1e1"}, ""},
		"an invalid packet":                    {[]string{"40", "4abc"}, []string{"40{", "6\x1e1"}, server.ReasonForced},
		"an invalid packet behind a valid one": {[]string{"40", "42[\"x\"]\x1e4abc"}, []string{"40{", "6\x1e1"}, server.ReasonForced},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{})
				left := reasons(io)
				p := open(t, ts)
				for _, packet := range test.packets {
					if status, answer := p.post(packet); status != 200 || answer != "ok" {
						t.Fatalf("POST of %s: %d %s", packet, status, answer)
					}
					synctest.Wait()
				}
				for _, want := range test.bodies {
					status, body := p.get()
					if want == "40{" && status == 200 && strings.HasPrefix(body, want) {
						continue // with the socket's id
					}
					if status != 200 || body != want {
						t.Fatalf("GET: %d %q, want %q", status, body, want)
					}
				}
				if status, body := p.get(); status != 400 || !strings.Contains(body, `"code":1`) {
					t.Errorf("GET after the end: %d %s", status, body)
				}
				if test.reason != "" {
					if got := <-left; got != test.reason {
						t.Errorf("the reason is %q, want %q", got, test.reason)
					}
				}
			})
		})
	}
	// A GET that is held is answered with the close packet alone.
	synctest.Test(t, func(t *testing.T) {
		_, ts := serve(t, server.Config{})
		p := open(t, ts)
		body := make(chan string)
		go func() {
			_, b := p.get()
			body <- b
		}()
		synctest.Wait()
		p.post(`42["some event"]`)
		if got := <-body; got != "1" {
			t.Errorf("the GET is answered with %q", got)
		}
	})
}

// The official tests of close.ts.
func TestShutdown(t *testing.T) {
	for _, transport := range append([]string{"eio3-polling", "eio3-websocket"}, transports...) {
		synctest.Test(t, func(t *testing.T) {
			io, ts := serve(t, server.Config{Engine: engine.Config{EIO3: true}})
			left := reasons(io)
			w := dial(t, ts, transport)
			if strings.HasPrefix(transport, "eio3") {
				w.expect("40")
			} else {
				w.connect("/", "")
			}
			if n := len(io.Of("/").Sockets()); n != 1 {
				t.Errorf("%d sockets", n)
			}
			if err := io.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			w.expect("end") // no packet 1 for the socket before it
			if got := <-left; got != server.ReasonShutdown || len(io.Of("/").Sockets()) != 0 {
				t.Errorf("the reason is %q, %d sockets are left", got, len(io.Of("/").Sockets()))
			}
			if err := io.Shutdown(t.Context()); err != nil {
				t.Error("again:", err)
			}
			if status, _ := newPoller(t, ts, "EIO=4&transport=polling").get(); status != 503 {
				t.Errorf("a handshake afterwards: %d", status)
			}
			if _, err := io.Open("/new"); err == nil {
				t.Error("a namespace was opened afterwards")
			}
		})
	}
	io, err := server.New(server.Config{}) // one that never served anything
	if err != nil {
		t.Fatal(err)
	}
	if err := io.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
