package lobby

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(string, string) bool { return true }

// serve opens namespace /chat, and others by a pattern, with the policy.
func serve(t *testing.T, p Policy, cfg server.Config) (s *servertest.Server, stop func()) {
	t.Helper()
	io, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	Open(io.Of("/chat"), p)
	Open(io.OfMatch(regexp.MustCompile("^/room-.*$")), p)
	return servertest.Serve(t, io), func() {
		if err := io.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func named(name string) servertest.Option { return servertest.Auth(map[string]string{"name": name}) }

type answer struct {
	OK      bool
	Code    string
	Message string
	Room    string
	Members []Member
	More    bool
	At, Now int64
}

func call(t *testing.T, c *servertest.Client, event string, args ...any) answer {
	t.Helper()
	var a answer
	got := c.Call(event, args...)
	if got.Len() != 1 {
		t.Fatalf("%s was answered with %d arguments", event, got.Len())
	}
	if err := got.Decode(0, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func in(room string) map[string]any { return map[string]any{"room": room} }

type told struct {
	Room   string
	Member Member
}

func expect(t *testing.T, c *servertest.Client, event string) told {
	t.Helper()
	var v told
	c.Expect(event).Decode(&v)
	return v
}

func names(members []Member) []string {
	var list []string
	for _, m := range members {
		list = append(list, m.Name)
	}
	slices.Sort(list)
	return list
}

func TestARoom(t *testing.T) {
	s, stop := serve(t, Policy{Join: all, Send: all}, server.Config{})
	defer stop()
	for _, nsp := range []string{"/chat", "/room-1"} {
		ada, ben := s.Connect(nsp, named("Ada")), s.Connect(nsp, named("Ben"))

		if a := call(t, ada, "join", in("lobby")); !a.OK || a.Room != "lobby" || !slices.Equal(names(a.Members), []string{"Ada"}) {
			t.Fatalf("join: %+v", a)
		}
		if a := call(t, ben, "join", in("lobby")); !slices.Equal(names(a.Members), []string{"Ada", "Ben"}) {
			t.Fatalf("join: %+v", a)
		}
		want := told{"lobby", Member{ID: ben.ID(), Name: "Ben", Transport: "websocket"}}
		if got := expect(t, ada, "joined"); !reflect.DeepEqual(got, want) {
			t.Errorf("joined: %+v, want %+v", got, want)
		}
		if a := call(t, ben, "join", in("lobby")); !a.OK || len(a.Members) != 2 {
			t.Errorf("second join: %+v", a)
		}

		a := call(t, ben, "send", map[string]any{"room": "lobby", "data": map[string]any{"text": "hi"}})
		if !a.OK || a.At == 0 || a.Room != "lobby" {
			t.Errorf("send: %+v", a)
		}
		var m struct {
			Room string
			From Member
			Data struct{ Text string }
			At   int64
		}
		ada.Expect("message").Decode(&m) // and no second "joined" before it
		if m.Room != "lobby" || m.From.ID != ben.ID() || m.Data.Text != "hi" || m.At != a.At {
			t.Errorf("message: %+v", m)
		}

		if a := call(t, ada, "members", in("lobby")); len(a.Members) != 2 {
			t.Errorf("members: %+v", a)
		}
		if a := call(t, ben, "leave", in("lobby")); !a.OK || a.Room != "lobby" {
			t.Errorf("leave: %+v", a)
		}
		if got := expect(t, ada, "left"); got.Member.ID != ben.ID() {
			t.Errorf("left: %+v", got)
		}
		if a := call(t, ben, "leave", in("lobby")); !a.OK {
			t.Errorf("second leave: %+v", a)
		}
		if a := call(t, ben, "send", in("lobby")); a.Code != "not_in_room" {
			t.Errorf("send after leave: %+v", a)
		}
		if a := call(t, ben, "members", in("lobby")); a.Code != "not_in_room" {
			t.Errorf("members after leave: %+v", a)
		}
		if ben.Pending() > 0 {
			t.Errorf("who acts hears of it: %s", ben.Next().Name)
		}
	}
}

func TestWhoGoesAwayLeaves(t *testing.T) {
	s, stop := serve(t, Policy{Join: all}, server.Config{})
	defer stop()
	ada, ben := s.Connect("/chat", named("Ada")), s.Connect("/chat", named("Ben"))
	for _, room := range []string{"a", "b"} {
		call(t, ada, "join", in(room))
		call(t, ben, "join", in(room))
		expect(t, ada, "joined")
	}
	ben.Close()
	rooms := []string{expect(t, ada, "left").Room, expect(t, ada, "left").Room}
	slices.Sort(rooms)
	if !slices.Equal(rooms, []string{"a", "b"}) {
		t.Errorf("left %q", rooms)
	}
}

func TestDataOfEveryKind(t *testing.T) {
	s, stop := serve(t, Policy{Join: all, Send: all}, server.Config{})
	defer stop()
	ada, ben := s.Connect("/chat"), s.Connect("/chat")
	call(t, ada, "join", in("r"))
	call(t, ben, "join", in("r"))
	expect(t, ada, "joined")
	for _, data := range []any{
		"text", 1.5, true, nil, []any{}, map[string]any{"a": []any{1.0, "b", nil}},
		[]byte{0, 1, 255}, map[string]any{"file": []byte("x"), "list": []any{[]byte("y"), "z"}},
	} {
		if a := call(t, ben, "send", map[string]any{"room": "r", "data": data}); !a.OK {
			t.Fatalf("%v: %+v", data, a)
		}
		var m struct{ Data any }
		ada.Expect("message").Decode(&m)
		if !reflect.DeepEqual(m.Data, data) {
			t.Errorf("%#v arrived as %#v", data, m.Data)
		}
	}
	ben.Emit("send", map[string]any{"room": "r", "data": "without an ack"})
	ada.Expect("message")
	for ada.Pending() == 0 { // one that comes while ada can't take it is dropped
		call(t, ben, "send", map[string]any{"room": "r", "volatile": true})
		time.Sleep(time.Millisecond)
	}
	if raw := ada.Expect("message").Args.Raw(0); !strings.Contains(string(raw), `"data":null`) {
		t.Errorf("missing data arrived as %s", raw)
	}
}

// Numbers beyond 2^53 and the order of keys would not survive decoding.
func TestDataIsNotRewritten(t *testing.T) {
	s, stop := serve(t, Policy{Join: all, Send: all}, server.Config{})
	defer stop()
	ada, ben := s.Connect("/chat"), s.Connect("/chat")
	call(t, ada, "join", in("r"))
	call(t, ben, "join", in("r"))
	expect(t, ada, "joined")
	const data = `{"z":12345678901234567890,"a":1.0}`
	call(t, ben, "send", map[string]any{"room": "r", "data": json.RawMessage(data)})
	if raw := ada.Expect("message").Args.Raw(0); !strings.Contains(string(raw), data) {
		t.Errorf("%s arrived in %s", data, raw)
	}
}

func TestRefused(t *testing.T) {
	allow := func(rooms ...string) func(string, string) bool {
		return func(room, _ string) bool { return slices.Contains(rooms, room) }
	}
	s, stop := serve(t, Policy{Join: allow("a", "b", "c"), Send: allow("b"), MaxRooms: 2}, server.Config{})
	defer stop()
	ada, ben := s.Connect("/chat"), s.Connect("/chat")
	call(t, ada, "join", in("a"))
	call(t, ada, "join", in("b"))
	for _, tt := range []struct {
		event string
		arg   any
		code  string
	}{
		{"join", in("c"), "limit"},
		{"join", in("secret"), "forbidden"},
		{"join", in(""), "bad_request"},
		{"join", in(strings.Repeat("x", 256)), "bad_request"},
		{"join", in(ben.ID()), "bad_request"}, // or ada would read what the server sends to ben alone
		{"join", in(ada.ID()), "bad_request"},
		{"join", "a", "bad_request"},
		{"join", map[string]any{"room": 1}, "bad_request"},
		{"join", []byte("a"), "bad_request"},
		{"leave", in(ada.ID()), "bad_request"}, // its own room is the server's affair
		{"send", in("a"), "forbidden"},
		{"send", in("c"), "not_in_room"},
		{"send", in(ben.ID()), "bad_request"},
		{"send", map[string]any{"room": []byte("b")}, "bad_request"},
		{"send", map[string]any{"room": "b", "volatile": "yes"}, "bad_request"},
		{"members", in("c"), "not_in_room"},
		{"status", map[string]any{"latency": 1}, "bad_request"}, // not the demo
		{"frobnicate", nil, "bad_request"},
	} {
		if a := call(t, ada, tt.event, tt.arg); a.OK || a.Code != tt.code || a.Message == "" {
			t.Errorf("%s %v: %+v, want %s", tt.event, tt.arg, a, tt.code)
		}
	}
	if a := call(t, ada, "send", map[string]any{"room": "b"}); !a.OK {
		t.Errorf("what is allowed was refused: %+v", a)
	}
	if a := call(t, ada, "join"); a.Code != "bad_request" {
		t.Errorf("join without an argument: %+v", a)
	}
}

func TestNothingIsAllowedByDefault(t *testing.T) {
	s, stop := serve(t, Policy{}, server.Config{})
	defer stop()
	ada := s.Connect("/chat")
	if a := call(t, ada, "join", in("lobby")); a.Code != "forbidden" {
		t.Errorf("join: %+v", a)
	}
}

func TestNames(t *testing.T) {
	s, stop := serve(t, Policy{Join: all}, server.Config{})
	defer stop()
	for _, tt := range []struct {
		auth any
		want string // a pattern
	}{
		{map[string]any{"name": "  Ada "}, "^Ada$"},
		{map[string]any{"name": strings.Repeat("ä", 60)}, "^ä{40}$"},
		{map[string]any{"name": "a\x00b"}, "^guest-[0-9a-f]{4}$"},
		{map[string]any{"name": "a\u202eb"}, "^guest-[0-9a-f]{4}$"}, // turns text around
		{map[string]any{"name": " "}, "^guest-[0-9a-f]{4}$"},
		{map[string]any{"user": "root"}, "^guest-[0-9a-f]{4}$"},
		{nil, "^guest-[0-9a-f]{4}$"},
	} {
		c := s.Connect("/chat", servertest.Auth(tt.auth))
		a := call(t, c, "join", in(fmt.Sprint(tt.auth)))
		if m := a.Members[0]; !regexp.MustCompile(tt.want).MatchString(m.Name) || m.User != "" {
			t.Errorf("%q became %+v", tt.auth, m)
		}
	}
	if _, err := s.TryConnect("/chat", servertest.Auth(map[string]any{"name": 1})); err == nil {
		t.Error("a number was taken for a name")
	}
}

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the server's idle workers end a moment after it
		s, stop := serve(t, Policy{}, server.Config{})
		defer stop()
		c := s.Connect("/chat")
		if a := call(t, c, "time"); !a.OK || a.Now != time.Now().UnixMilli() {
			t.Errorf("got %+v", a)
		}
		c.Emit("time") // nobody waits for an answer
		if a := call(t, c, "time"); !a.OK {
			t.Errorf("got %+v", a)
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the server's idle workers end a moment after it
		s, stop := serve(t, Policy{Join: all, Status: true}, server.Config{})
		defer stop()
		ada, ben := s.Connect("/chat", named("Ada")), s.Connect("/chat", named("Ben"))
		call(t, ada, "join", in("lobby"))
		call(t, ben, "join", in("lobby"))
		expect(t, ada, "joined")
		latency := func(ms any) map[string]any { return map[string]any{"latency": ms} }
		if a := call(t, ben, "status", latency(12.5)); !a.OK {
			t.Errorf("got %+v", a)
		}
		if got := expect(t, ada, "updated").Member; got.Name != "Ben" || got.Latency == nil || *got.Latency != 12.5 {
			t.Errorf("got %+v", got)
		}
		if a := call(t, ben, "status", latency(1)); a.Code != "limit" {
			t.Errorf("at once again: %+v", a)
		}
		time.Sleep(statusEvery)
		for _, v := range []any{-1, "fast", nil, 1e9} {
			if a := call(t, ben, "status", latency(v)); a.Code != "bad_request" {
				t.Errorf("latency %v: %+v", v, a)
			}
		}
		if a := call(t, ben, "status", latency(3)); !a.OK {
			t.Errorf("got %+v", a)
		}
	})
}

// A large room would cost each join as much as it has members, and each member as many joins.
func TestLargeRoomsAreNotListed(t *testing.T) {
	io, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer io.Shutdown(context.Background())
	ns := io.Of("/chat")
	Open(ns, Policy{Join: all})
	s := servertest.Serve(t, io)
	first := s.Connect("/chat")
	call(t, first, "join", in("r"))
	for range MaxMembers - 1 { // without a word to those that are there: that is much work
		if err := ns.Socket(s.Connect("/chat").ID()).Join("r"); err != nil {
			t.Fatal(err)
		}
	}
	last := s.Connect("/chat")
	if a := call(t, last, "join", in("r")); !a.OK || !a.More || len(a.Members) != 0 {
		t.Errorf("got %+v", a)
	}
	if a := call(t, last, "leave", in("r")); !a.OK {
		t.Errorf("got %+v", a)
	}
	if got := expect(t, first, "left"); got.Member.ID != last.ID() {
		t.Errorf("got %+v", got)
	}
	if a := call(t, first, "members", in("r")); a.More || len(a.Members) != MaxMembers {
		t.Errorf("got more=%v and %d members", a.More, len(a.Members))
	}
}

// tokens believes tokens of the form "user", for an hour.
func tokens(token string) (auth.User, error) {
	switch token {
	case "old":
		return auth.User{}, auth.ErrExpired
	case "huge":
		return auth.User{}, auth.ErrTooLong
	case "bad":
		return auth.User{}, fmt.Errorf("%w: the key is 42", auth.ErrInvalid)
	}
	return auth.User{ID: token, Name: strings.ToUpper(token), Expires: time.Now().Add(time.Hour)}, nil
}

func token(t string) servertest.Option {
	return servertest.Auth(map[string]string{"token": t, "name": "someone else"})
}

func TestTokens(t *testing.T) {
	own := func(room, user string) bool { return room == "user:"+user }
	s, stop := serve(t, Policy{Verify: tokens, Join: own}, server.Config{})
	defer stop()
	ann := s.Connect("/chat", token("ann"))
	if a := call(t, ann, "join", in("user:ann")); !a.OK || a.Members[0].User != "ann" || a.Members[0].Name != "ANN" {
		t.Errorf("own room: %+v", a)
	}
	if a := call(t, ann, "join", in("user:bob")); a.Code != "forbidden" {
		t.Errorf("room of another: %+v", a)
	}
	for _, tt := range []struct {
		auth any
		want string
	}{
		{nil, "a token is needed: auth: { token }"},
		{map[string]any{"token": ""}, "a token is needed: auth: { token }"},
		{map[string]any{"token": 1}, "auth must be an object; its token and name must be text"},
		{map[string]any{"token": "old"}, "the token has expired"},
		{map[string]any{"token": "huge"}, "the token is too long"},
		{map[string]any{"token": "bad"}, "the token is invalid"}, // and not why
	} {
		_, err := s.TryConnect("/chat", servertest.Auth(tt.auth))
		var refused *servertest.ConnectError
		if !errors.As(err, &refused) || refused.Message != tt.want || string(refused.Data) != `{"code":"unauthorized"}` {
			t.Errorf("%v: got %v, want %s", tt.auth, err, tt.want)
		}
	}
}

func TestAnonymousBesideTokens(t *testing.T) {
	s, stop := serve(t, Policy{Verify: tokens, Anonymous: true, Join: all}, server.Config{})
	defer stop()
	c := s.Connect("/chat", named("ann"))
	if a := call(t, c, "join", in("r")); a.Members[0].User != "" || a.Members[0].Name != "ann" {
		t.Errorf("got %+v", a)
	}
	if _, err := s.TryConnect("/chat", token("bad")); err == nil {
		t.Error("a bad token passed as none")
	}
}

func TestSocketEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the server's idle workers end a moment after it
		s, stop := serve(t, Policy{Verify: tokens, Join: all}, server.Config{})
		defer stop()
		ann := s.Connect("/chat", token("ann"))
		time.Sleep(time.Hour - time.Second)
		if a := call(t, ann, "time"); !a.OK {
			t.Fatalf("got %+v", a)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-ann.Done():
		default:
			t.Error("the socket has outlived its token")
		}
	})
}

// comeBack connects anew as the client c was, after it lost its connection.
func comeBack(s *servertest.Server, c *servertest.Client, auth map[string]string) (*servertest.Client, error) {
	auth["pid"] = c.PrivateID()
	return s.TryConnect("/chat", servertest.Auth(auth))
}

func TestRecoveryChecksAgain(t *testing.T) {
	revoked := false
	join := func(room, _ string) bool { return room != "secret" || !revoked }
	s, stop := serve(t, Policy{Verify: tokens, Join: join}, server.Config{Recovery: &server.Recovery{}})
	defer stop()

	watcher := s.Connect("/chat", token("watcher"))
	call(t, watcher, "join", in("secret"))
	call(t, watcher, "join", in("open"))
	ann := s.Connect("/chat", token("ann"))
	call(t, ann, "join", in("secret"))
	expect(t, watcher, "joined")
	call(t, ann, "join", in("open"))
	expect(t, watcher, "joined")
	ann.Close()
	expect(t, watcher, "left")
	expect(t, watcher, "left")

	// Another user can't continue ann's session, though it knows the private id.
	var refused *servertest.ConnectError
	if _, err := comeBack(s, ann, map[string]string{"token": "eve"}); !errors.As(err, &refused) {
		t.Errorf("another user continued the session: %v", err)
	}

	revoked = true
	back, err := comeBack(s, ann, map[string]string{"token": "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if back.ID() != ann.ID() {
		t.Fatal("the session was not recovered")
	}
	if got := expect(t, watcher, "joined"); got.Room != "open" {
		t.Errorf("joined %q again", got.Room)
	}
	if a := call(t, back, "members", in("secret")); a.Code != "not_in_room" {
		t.Errorf("still in the room that isn't allowed any more: %+v", a)
	}
}
