package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/memnet"
)

// raw speaks with a node's inner listener by hand.
type raw struct {
	w *world
	*link
}

func (n *testNode) raw() *raw {
	n.w.Helper()
	conn, err := n.inner.Dial(context.Background())
	if err != nil {
		n.w.Fatal(err)
	}
	n.w.Cleanup(func() { conn.Close() })
	return &raw{n.w, &link{conn: conn, r: bufio.NewReader(conn)}}
}

// say sends bytes and returns the status of the answer; 0 if there is none.
func (r *raw) say(b []byte) int {
	go r.conn.Write(b) // which may be more than is read
	res, err := http.ReadResponse(r.r, nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func (n *testNode) message(sid string, to ID) *message {
	r := httptest.NewRequest("GET", "/engine.io/?"+poll(sid), nil)
	m, err := newMessage(r, n.node.id, to, false)
	if err != nil {
		n.w.Fatal(err)
	}
	return m
}

func sealed(k *keys, greeting []byte, seq uint64, m *message) []byte {
	return m.appendHead(nil, base64.RawStdEncoding.EncodeToString(k.linkSeal(greeting, seq, m)))
}

// TestSeals: whoever isn't a node gets nothing, and nothing that a node has
// said is good a second time.
func TestSeals(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		a, b := nodes[0], nodes[1]
		k := a.node.keys
		sid := a.open()
		a.post(sid, "4hello")
		m := b.message(sid, a.node.id)

		greeted := func() *raw {
			r := a.raw()
			if err := b.node.greet(r.link, a.node.id); err != nil {
				t.Fatal(err)
			}
			return r
		}
		for name, say := range map[string]func() int{
			"no greeting": func() int { return a.raw().say(sealed(k, nil, 0, m)) },
			"no seal":     func() int { return greeted().say(m.appendHead(nil, "")) },
			"two seals": func() int {
				r := greeted()
				return r.say(bytes.Replace(sealed(k, r.greeting, 0, m), []byte("\r\n\r\n"), []byte("\r\nRoomcast-Seal: x\r\n\r\n"), 1))
			},
			"a seal that is no base64": func() int { return greeted().say(m.appendHead(nil, "***")) },
			"another secret":           func() int { r := greeted(); return r.say(sealed(newKeys(testSecret), r.greeting, 0, m)) },
			"another number":           func() int { r := greeted(); return r.say(sealed(k, r.greeting, 1, m)) },
			"another link's":           func() int { first := greeted(); return greeted().say(sealed(k, first.greeting, 0, m)) },
			"a second greeting": func() int {
				return greeted().say(fmt.Appendf(nil, "GET /hello HTTP/1.1\r\nHost: a\r\nRoomcast-Nonce: AAAAAAAAAAAAAAAAAAAAAA\r\n\r\n"))
			},
			"another query": func() int {
				r := greeted()
				return r.say(bytes.Replace(sealed(k, r.greeting, 0, m), []byte("EIO=4"), []byte("EIO=3"), 1))
			},
			"another client": func() int {
				r := greeted()
				return r.say(bytes.Replace(sealed(k, r.greeting, 0, m), []byte("192.0.2.1:1234"), []byte("192.0.2.2:1234"), 1))
			},
			"one more header": func() int {
				r := greeted()
				return r.say(bytes.Replace(sealed(k, r.greeting, 0, m), []byte("\r\n\r\n"), []byte("\r\nOrigin: http://x\r\n\r\n"), 1))
			},
			"one more header of ours": func() int {
				r := greeted()
				m := b.message(sid, a.node.id)
				m.lines = append(m.lines, line{"Roomcast-Other", "x"})
				return r.say(sealed(k, r.greeting, 0, m))
			},
		} {
			if status := say(); status != http.StatusForbidden {
				t.Errorf("%s: %d", name, status)
			}
		}
		if n := a.node.Stats().Refused.Load(); n != 12 {
			t.Errorf("%d are counted", n)
		}

		// What is right is answered once: the same again is refused, and the link closed.
		r := greeted()
		once := sealed(k, r.greeting, 0, m)
		if status := r.say(once); status != 200 {
			t.Errorf("a good request: %d", status)
		}
		if status := r.say(once); status != http.StatusForbidden {
			t.Errorf("the same again: %d", status)
		}
		if status := r.say(sealed(k, r.greeting, 1, m)); status != 0 {
			t.Errorf("after that: %d", status)
		}
		r = greeted()
		if status := r.say(sealed(k, r.greeting, 0, b.message(sid, b.node.id))); status != 404 {
			t.Errorf("for another node: %d", status)
		}
		if n := a.node.Stats().Taken.Load(); n != 1 {
			t.Errorf("%d requests were taken", n)
		}
		// Who says nothing is shown the door.
		idle := a.raw()
		if _, err := idle.r.ReadByte(); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestFalseOwner: who answers at an owner's address without the secret gets no request.
func TestFalseOwner(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		sid := nodes[0].open()
		l := memnet.Listen()
		w.mu.Lock()
		w.inner["a:1"] = l
		w.mu.Unlock()
		asked := 0
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; r.URL.Path != helloPath {
				t.Errorf("it was told %s %v", r.URL, r.Header)
			}
			w.Header().Set(headerNonce, r.Header.Get(headerNonce))
			w.Header().Set(headerSeal, base64.RawStdEncoding.EncodeToString(make([]byte, 32)))
			w.WriteHeader(http.StatusNoContent)
		})}
		go server.Serve(l)
		defer server.Close()
		if ws := nodes[1].websocket("sid=" + sid); ws.status != 400 {
			t.Errorf("an upgrade: %d", ws.status)
		}
		w.expect(nodes[1].post(sid, "4hello"), 200, "ok") // through the store
		if asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
		time.Sleep(shunTime)
		w.expect(nodes[1].get(sid), 200, "4hello")
		if asked != 2 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

func TestUnusedLinksAreClosed(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		w.expect(nodes[1].post(nodes[0].open(), "4x"), 200, "ok")
		links := func() (n int) {
			ls := &nodes[1].node.links
			ls.mu.Lock()
			defer ls.mu.Unlock()
			for _, list := range ls.idle {
				n += len(list)
			}
			return n
		}
		if links() != 1 {
			t.Fatalf("%d links", links())
		}
		time.Sleep(linkIdle + 2*beatInterval)
		if links() != 0 {
			t.Errorf("%d links", links())
		}
	})
}

// TestRequestsThatCannotBe: what HTTP/2 lets through must not become two requests of HTTP/1.
func TestRequestsThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"a blank in the query": func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1" },
		"a line in the query":  func(r *http.Request) { r.URL.RawQuery = "a\r\nb" },
		"a line in the host":   func(r *http.Request) { r.Host = "a\r\nb: c" },
		"no host":              func(r *http.Request) { r.Host = "" },
		"a line in a header":   func(r *http.Request) { r.Header["A"] = []string{"b\r\nc: d"} },
		"a method":             func(r *http.Request) { r.Method = "PUT" },
	} {
		r := httptest.NewRequest("GET", "/engine.io/", nil)
		change(r)
		if _, err := newMessage(r, 1, 2, false); err == nil {
			t.Errorf("%s is handed on", name)
		}
	}
}

// FuzzInner sends anything to the inner listener, before and after a greeting,
// and anything between a good request's start and its seal.
func FuzzInner(f *testing.F) {
	f.Add(byte(0), "GET /hello HTTP/1.1\r\nHost: x\r\nRoomcast-Nonce: AAAAAAAAAAAAAAAAAAAAAA\r\n\r\n")
	f.Add(byte(1), "GET /engine.io/?sid=x HTTP/1.1\r\nHost: x\r\nRoomcast-Seal: AAAA\r\n\r\n")
	f.Add(byte(2), "Roomcast-Client: 1.2.3.4:5\r\nRoomcast-From: 000000000001\r\nRoomcast-Node: 000000000002\r\n")
	f.Add(byte(2), "Roomcast-Client: \r\nRoomcast-Scheme: ftp\r\nRoomcast-Scheme: https\r\nOrigin: x\r\n a")
	f.Add(byte(2), "Roomcast-From: 000000000001\r\nRoomcast-Node: 000000000002\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n")
	n := &Node{cfg: Config{MaxForwards: 1}.withDefaults(), id: 2, keys: newKeys(testSecret)}
	n.table.init(2)
	n.holds.init()
	n.log = n.cfg.Logger
	reached := func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, headerPrefix) {
				panic("the handler sees " + name)
			}
		}
	}
	f.Fuzz(func(t *testing.T, how byte, text string) {
		in := new(inbound)
		handle := func(b []byte) {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				return
			}
			r = r.WithContext(context.WithValue(context.Background(), inboundKey{}, in))
			w := httptest.NewRecorder()
			(&owner{n, http.HandlerFunc(reached)}).ServeHTTP(w, r)
			if how < 2 && w.Code != http.StatusForbidden && w.Code != http.StatusNoContent {
				t.Errorf("%q got %d", b, w.Code)
			}
		}
		switch how {
		case 0:
		case 1:
			in.greeting = make([]byte, 2*nonceBytes)
		default: // the seal is right, whatever it is of
			in.greeting = make([]byte, 2*nonceBytes)
			head := "GET / HTTP/1.1\r\nHost: x\r\n" + text
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n\r\n")))
			if err != nil {
				return
			}
			seal := base64.RawStdEncoding.EncodeToString(n.keys.linkSeal(in.greeting, 0, received(r)))
			text = head + "\r\n" + headerSeal + ": " + seal + "\r\n\r\n"
		}
		handle([]byte(text))
		if n.taken.Load() != 0 || len(n.holds.of) != 0 {
			t.Fatal("something is left")
		}
	})
}

// FuzzMessage: what a request is sealed as is what the other node reads.
func FuzzMessage(f *testing.F) {
	f.Add("/engine.io/?a=b&c=%20", "host:1", "Origin", " http://x ", "Cookie", "é", true)
	f.Add("//x/", "[::1]", "X", "", "Roomcast-Node", "y", false)
	f.Fuzz(func(t *testing.T, uri, host, name1, value1, name2, value2 string, upgrade bool) {
		head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n%s: %s\r\n\r\n", uri, host, name1, value1, name2, value2)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil {
			return
		}
		r.RemoteAddr = "1.2.3.4:5"
		m, err := newMessage(r, 1, 2, upgrade)
		if err != nil {
			return
		}
		back, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(m.appendHead(nil, "seal"))))
		if err != nil {
			return // the server on the other side answers 400
		}
		if got, want := received(back).appendSealed(nil), m.appendSealed(nil); !bytes.Equal(got, want) {
			t.Errorf("sealed\n%q\nread\n%q", want, got)
		}
	})
}
