package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
	"github.com/googollee/go-socket.io/parser"
)

// message is an argument with a bit of everything.
type message struct {
	Text   string            `json:"text"`
	N      int               `json:"n,omitempty"`
	F      float64           `json:"f"`
	Tags   []string          `json:"tags"`
	Labels map[string]string `json:"labels,omitempty"`
	Next   *message          `json:"next,omitempty"`
}

// journal is what handlers have noted.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...interface{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	json.NewEncoder(w).Encode(append([]string{}, j.lines...))
	j.lines = nil
}

// names returns rooms in order, with the conn's own as "<id>".
func names(s socketio.Conn, rooms []string) []string {
	list := []string{}
	for _, room := range rooms {
		if room == s.ID() {
			room = "<id>"
		}
		list = append(list, room)
	}
	sort.Strings(list)
	return list
}

// script has a handler for everything that the API can do.
func script() (http.Handler, *socketio.Server, error) {
	notes := new(journal)
	released := make(chan struct{})
	server := socketio.NewServer(&engineio.Options{
		RequestChecker: func(r *http.Request) (http.Header, error) {
			if r.URL.Query().Get("deny") != "" {
				return nil, errors.New("denied")
			}
			return http.Header{"X-Checked": []string{"yes"}}, nil
		},
		ConnInitor: func(r *http.Request, c engineio.Conn) {
			query := r.URL.Query()
			if query.Get("hold") != "" {
				<-released
			}
			if query.Get("initial") != "" {
				c.SetContext(query.Get("initial"))
			}
		},
	})
	server.OnConnect("/", func(s socketio.Conn) error {
		notes.note("connect %q, context %v, rooms %v", s.Namespace(), s.Context(), names(s, s.Rooms()))
		url := s.URL()
		if url.Query().Get("name") == "intruder" {
			return errors.New("not you")
		}
		s.Join("everybody")
		if url.Query().Get("name") == "eager" {
			s.Emit("welcome", names(s, s.Rooms()), server.RoomLen("/", "everybody"))
			server.BroadcastToRoom("/", "everybody", "arrived")
			server.BroadcastToNamespace("/", "everywhere")
		}
		return nil
	})
	server.OnDisconnect("/", func(s socketio.Conn, reason string) {
		notes.note("disconnect %q: %q, rooms %v, context %v", s.Namespace(), reason, names(s, s.Rooms()), s.Context())
	})
	server.OnError("/", func(s socketio.Conn, err error) { notes.note("error in /: %v", err) })

	arguments(server)
	rooms(server)
	questions(server, notes)
	faults(server)

	server.OnConnect("/chat", func(s socketio.Conn) error {
		notes.note("connect %q, context %v, rooms %v", s.Namespace(), s.Context(), names(s, s.Rooms()))
		return nil
	})
	server.OnDisconnect("/chat", func(s socketio.Conn, reason string) {
		notes.note("disconnect %q: %q", s.Namespace(), reason)
	})
	server.OnEvent("/chat", "id", func(s socketio.Conn) string { return s.ID() })
	server.OnEvent("/chat", "say", func(s socketio.Conn, text string) string {
		server.BroadcastToNamespace("/chat", "said", text)
		server.BroadcastToRoom("/chat", s.ID(), "own", text)
		return "said " + text
	})
	server.OnConnect("/refusing", func(s socketio.Conn) error { return errors.New("not here") })
	server.OnDisconnect("/refusing", func(s socketio.Conn, reason string) {
		notes.note("disconnect %q: %q", s.Namespace(), reason)
	})
	server.OnError("/refusing", func(s socketio.Conn, err error) { notes.note("error in /refusing: %v", err) })

	mux := http.NewServeMux()
	mux.Handle("/socket.io/", server)
	mux.Handle("/notes", notes)
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { close(released) })
	return mux, server, nil
}

// arguments has the types of arguments and acks.
func arguments(server *socketio.Server) {
	on := func(event string, f interface{}) { server.OnEvent("/", event, f) }
	on("nothing", func(s socketio.Conn) {})
	on("text", func(s socketio.Conn, v string) string { return v })
	on("number", func(s socketio.Conn, v int) int { return v + 1 })
	on("float", func(s socketio.Conn, v float64) float64 { return v / 2 })
	on("bool", func(s socketio.Conn, v bool) bool { return !v })
	on("object", func(s socketio.Conn, v message) message { return v })
	on("pointer", func(s socketio.Conn, v *message) *message { return v })
	on("list", func(s socketio.Conn, v []int) int { return len(v) })
	on("map", func(s socketio.Conn, v map[string]interface{}) map[string]interface{} { return v })
	on("any", func(s socketio.Conn, v interface{}) string { return fmt.Sprintf("%T %v", v, v) })
	on("raw", func(s socketio.Conn, v json.RawMessage) string { return string(v) })
	on("three", func(s socketio.Conn, a string, b int, c *message) string {
		return fmt.Sprintf("%q %d %v", a, b, c.Text)
	})
	on("several", func(s socketio.Conn, a, b int) (int, int, string) { return a + b, a * b, "done" })
	on("fails", func(s socketio.Conn, text string) error {
		if text == "" {
			return nil
		}
		return errors.New(text)
	})
	on("bytes", func(s socketio.Conn, v []byte) int { return len(v) })
	on("buffer", func(s socketio.Conn, v *parser.Buffer) *parser.Buffer {
		for i := range v.Data {
			v.Data[i]++
		}
		return v
	})
	on("values-of-buffers", func(s socketio.Conn, v []parser.Buffer) []int {
		var lengths []int
		for _, b := range v {
			lengths = append(lengths, len(b.Data))
		}
		return lengths
	})
	on("buffers", func(s socketio.Conn, v struct {
		List  []*parser.Buffer
		Inner struct{ B *parser.Buffer }
	}) []interface{} {
		return []interface{}{v.Inner.B, v.List, len(v.List)}
	})
	on("echo", func(s socketio.Conn, event string, v interface{}) { s.Emit(event, v) })
	on("types", func(s socketio.Conn) {
		s.Emit("types", 1, 2.5, "text", true, []int{1, 2}, map[string]int{"a": 1}, message{Text: "t"}, &message{N: 2})
		s.Emit("binary", "before", &parser.Buffer{Data: []byte{1, 2, 3}}, map[string]interface{}{"deep": &parser.Buffer{Data: []byte{4}}})
	})
	on("bytes-out", func(s socketio.Conn) ([]byte, interface{}) {
		b := []byte{1, 2, 250}
		s.Emit("bytes", b, struct{ B []byte }{b}, map[string]interface{}{"b": b, "buffer": &parser.Buffer{Data: b}})
		server.BroadcastToRoom("/", s.ID(), "bytes", b)
		return b, []interface{}{b}
	})
	on("times", func(s socketio.Conn) (time.Time, []interface{}, map[string]interface{}) {
		at := time.Date(2020, 1, 2, 3, 4, 5, 6789, time.FixedZone("CET", 3600))
		return at, []interface{}{at, time.Second}, map[string]interface{}{"at": at, "pointer": &at}
	})
	on("nils", func(s socketio.Conn) ([]int, map[string]int, *message, []interface{}) { return nil, nil, nil, nil })
	on("numbers", func(s socketio.Conn, v float64) []interface{} {
		return []interface{}{v, int64(1) << 60, uint8(7), float32(0.1), 1e21, 1e-7, json.Number("12")}
	})
	on("context", func(s socketio.Conn, v string) interface{} {
		old := s.Context()
		s.SetContext(v)
		return old
	})
	on("where", func(s socketio.Conn) string {
		url := s.URL()
		host := func(addr string) string { return addr[:strings.LastIndex(addr, ":")] }
		return fmt.Sprint(s.Namespace(), url.Path, url.Query().Get("name"), s.RemoteHeader().Get("User-Agent"),
			host(s.LocalAddr().String()), host(s.RemoteAddr().String()), s.RemoteAddr().Network())
	})
	on("id", func(s socketio.Conn) string { return s.ID() })
	on("slow", func(s socketio.Conn, n int) int {
		time.Sleep(time.Duration(20-n) * time.Millisecond)
		return n
	})
}

// rooms has what can be done with rooms.
func rooms(server *socketio.Server) {
	on := func(event string, f interface{}) { server.OnEvent("/", event, f) }
	on("join", func(s socketio.Conn, room string) []string { s.Join(room); return names(s, s.Rooms()) })
	on("leave", func(s socketio.Conn, room string) []string { s.Leave(room); return names(s, s.Rooms()) })
	on("leave-all", func(s socketio.Conn) []string { s.LeaveAll(); return names(s, s.Rooms()) })
	on("server-join", func(s socketio.Conn, nsp, room string) bool { return server.JoinRoom(nsp, room, s) })
	on("server-leave", func(s socketio.Conn, nsp, room string) bool { return server.LeaveRoom(nsp, room, s) })
	on("server-leave-all", func(s socketio.Conn, nsp string) bool { return server.LeaveAllRooms(nsp, s) })
	on("no-rooms", func(s socketio.Conn) []string { s.LeaveAll(); return s.Rooms() })
	on("rooms", func(s socketio.Conn) []string { return names(s, s.Rooms()) })
	on("all-rooms", func(s socketio.Conn, nsp string) []string {
		var known []string // the ids of others differ
		for _, room := range server.Rooms(nsp) {
			if room == "everybody" || room == "a" || room == "b" {
				known = append(known, room)
			}
		}
		sort.Strings(known)
		return known
	})
	on("rooms-of", func(s socketio.Conn, nsp string) []string { return server.Rooms(nsp) })
	on("len", func(s socketio.Conn, nsp, room string) int {
		if room == "<id>" {
			room = s.ID()
		}
		return server.RoomLen(nsp, room)
	})
	on("connections", func(s socketio.Conn) int { return server.Count() })
	on("cast", func(s socketio.Conn, nsp, room, text string) bool {
		return server.BroadcastToRoom(nsp, room, "cast", text, 1)
	})
	on("cast-all", func(s socketio.Conn, nsp, text string) bool { return server.BroadcastToNamespace(nsp, "cast", text, 2) })
	on("cast-own", func(s socketio.Conn, text string) bool { return server.BroadcastToRoom("/", s.ID(), "cast", text, 3) })
	on("each", func(s socketio.Conn, nsp, room string) (bool, int) {
		n := 0
		ok := server.ForEach(nsp, room, func(c socketio.Conn) {
			n++
			if c.ID() == s.ID() {
				n += 100
			}
		})
		return ok, n
	})
	on("clear", func(s socketio.Conn, nsp, room string) bool { return server.ClearRoom(nsp, room) })
}

// questions has what the server asks.
func questions(server *socketio.Server, notes *journal) {
	on := func(event string, f interface{}) { server.OnEvent("/", event, f) }
	on("ask", func(s socketio.Conn, text string) {
		s.Emit("question", text, func(answer string, n int) {
			notes.note("answer %q, %d", answer, n)
			s.Emit("answered", answer)
		})
	})
	on("ask-nothing", func(s socketio.Conn) {
		s.Emit("question", "nothing", func() { s.Emit("answered", "nothing") })
	})
	on("ask-object", func(s socketio.Conn) {
		s.Emit("question", "object", func(m message, b *parser.Buffer) { s.Emit("answered", m.Text, len(b.Data)) })
	})
	on("ask-each", func(s socketio.Conn) {
		for i := 0; i < 5; i++ {
			n := i
			s.Emit("question", "each", func(answer string) { s.Emit("answered", fmt.Sprint(n, answer)) })
		}
	})
	on("farewell", func(s socketio.Conn) { s.Close() })
}

// faults has handlers that go wrong.
func faults(server *socketio.Server) {
	on := func(event string, f interface{}) { server.OnEvent("/", event, f) }
	on("panic", func(s socketio.Conn, text string) string { panic(text) })
	on("panic-error", func(s socketio.Conn) { panic(errors.New("an error")) })
	on("comma,name", func(s socketio.Conn) string { return "comma" })
	on("null", func(s socketio.Conn) { s.Emit("null", nil) })
	on("value", func(s socketio.Conn) parser.Buffer { return parser.Buffer{Data: []byte{9}} })
	on("values", func(s socketio.Conn, m map[string]parser.Buffer) int { return len(m["k"].Data) })
}
