package redisadapter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// record is one message in testdata/node.json: what the official packages
// publish. See generate.js.
type record struct {
	Protocol, Label, Channel string
	Text, Hex                string
}

func (r record) bytes() []byte {
	if r.Text != "" {
		return []byte(r.Text)
	}
	b, _ := hex.DecodeString(r.Hex)
	return b
}

func readRecords(t testing.TB) (list []record) {
	t.Helper()
	b, err := os.ReadFile("testdata/node.json")
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// decode decodes a message by the channel that it came on.
func (r record) decode() (*message, error) {
	switch {
	case r.Protocol == "sharded":
		return decodeCluster(r.bytes())
	case strings.HasPrefix(r.Channel, "socket.io-request#"):
		return decodeRequest(r.bytes())
	case strings.HasPrefix(r.Channel, "socket.io-response#"):
		return decodeResponse(r.bytes())
	}
	return decodeBroadcast(r.bytes())
}

func (r record) encode(m *message) ([]byte, error) {
	switch {
	case r.Protocol == "sharded":
		return encodeCluster(m, false)
	case strings.HasPrefix(r.Channel, "socket.io-request#"):
		return encodeRequest(m)
	case strings.HasPrefix(r.Channel, "socket.io-response#"):
		b, err := encodeResponse(m)
		// What Node doesn't have, and doesn't look at.
		b = bytes.Replace(b, []byte(`,"uid":""`), nil, 1)
		if hint := []byte("\xa3uid\xa0"); bytes.HasSuffix(b, hint) {
			b = append([]byte{b[0] - 1}, b[1:len(b)-len(hint)]...)
		}
		return b, err
	}
	return encodeBroadcast(m)
}

// What Node has sent is read, and written as Node writes it.
func TestAsNode(t *testing.T) {
	// Messages whose data has several forms: ours is another one.
	otherForm := map[string]bool{
		"args: null": true, "args: numbers": true, "args: date": true, "args: nested": true, // undefined, NaN and dates
		"binary: nested": true, "binary: typed": true,
		"to a numeric room": true, // numbers become texts
		"all rooms":         true, // we never ask
	}
	emitterOrder := map[string]bool{"emitter": true} // of the members of opts
	same := 0
	for _, r := range readRecords(t) {
		m, err := r.decode()
		if err != nil {
			t.Errorf("%s %s: %v", r.Protocol, r.Label, err)
			continue
		}
		if otherForm[r.Label] || emitterOrder[r.Label] {
			continue
		}
		got, err := r.encode(m)
		if err != nil || !bytes.Equal(got, r.bytes()) && !equalSockets(got, r.bytes()) {
			t.Errorf("%s %s: %q came back as %q, %v", r.Protocol, r.Label, r.bytes(), got, err)
		}
		same++
	}
	if same < 50 {
		t.Errorf("only %d messages compared", same)
	}
}

// equalSockets compares answers with sockets: the order of headers is no matter.
func equalSockets(a, b []byte) bool {
	var x, y any
	return bytes.Contains(a, []byte(`"sockets"`)) && json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// dataAsNode is what data becomes: for clients the same text as from a Node server,
// but for the point of 1e20, which JavaScript prints in full.
var dataAsNode = map[string]string{
	"args: nothing":     `["x"]`,
	"args: null":        `["x",null,null,true,false]`,
	"args: numbers":     `["x",0,-1,127,128,255,256,65536,4294967295,4294967296,9007199254740991,-9007199254740991,1.5,-0.25,1e-7,null,null,9007199254740994,7766279631452241920]`,
	"args: texts":       "[\"x\",\"\",\"é😀\\n\\\"\\\\\u2028\",\"" + strings.Repeat("x", 300) + "\"]",
	"args: date":        `["x","1970-01-01T00:00:00.000Z","2023-11-14T22:13:20.123Z","1969-12-31T23:59:59.999Z",{"at":"+010000-01-01T00:00:00.000Z"}]`,
	"args: nested":      `["x",{"b":1,"a":{"z":[],"y":{}}},[[],[[1]]]]`,
	"args: placeholder": `["x",{"_placeholder":true,"num":0}]`,
	"binary: one":       `["x",{"_placeholder":true,"num":0}]`,
	"binary: nested":    `["x",{"a":[{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}],"c":"2023-11-14T22:13:20.123Z"}]`,
	"binary: typed":     `["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`,
	"binary: mixed":     `["x",{"_placeholder":true,"num":0},1.5,null,"x",4294967296]`,
}

func TestDataAsNode(t *testing.T) {
	for _, r := range readRecords(t) {
		want := dataAsNode[r.Label]
		if want == "" {
			continue
		}
		m, err := r.decode()
		if err != nil {
			t.Error(r.Label, err)
			continue
		}
		if r.Protocol == "sharded" && r.Label == "args: numbers" {
			want = strings.Replace(want, "7766279631452241920", "100000000000000000000", 1) // notepack spoils it
		}
		if got := string(m.op.Data.JSON); got != want {
			t.Errorf("%s %s: %s, want %s", r.Protocol, r.Label, got, want)
		}
	}
}

func payload(t testing.TB, args ...any) parser.Payload {
	t.Helper()
	p, err := parser.Marshal(args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ops are one of each operation.
func ops(t testing.TB) []*adapters.Op {
	to := rooms.Target{Rooms: []string{"r", "7"}, Except: []string{"x"}}
	return []*adapters.Op{
		{Kind: adapters.Emit, Data: payload(t, "e", 1)},
		{Kind: adapters.Emit, Target: to, Data: payload(t, "e", []byte{1}, map[string]any{"b": []byte{2}}), Volatile: true, NoCompress: true},
		{Kind: adapters.Ask, Target: to, Data: payload(t, "e"), Timeout: 800 * time.Millisecond},
		{Kind: adapters.Join, Target: to, Rooms: []string{"j"}},
		{Kind: adapters.Leave, Rooms: []string{"j", "k"}},
		{Kind: adapters.Disconnect, Target: to, Close: true},
		{Kind: adapters.Fetch, Target: to},
		{Kind: adapters.ServerEmit, Data: payload(t, "e", "x")},
		{Kind: adapters.ServerAsk, Data: payload(t, "e", []byte{5})},
	}
}

// normal is op with empty lists as nil.
func normal(op *adapters.Op) adapters.Op {
	o := *op
	for _, list := range []*[]string{&o.Target.Rooms, &o.Target.Except, &o.Rooms} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return o
}

func TestOpsRoundTrip(t *testing.T) {
	for _, op := range ops(t) {
		m := &message{kind: kindOf(op), uid: "u", namespace: "/", op: op}
		if op.Kind == adapters.Ask || op.Kind == adapters.Fetch || op.Kind == adapters.ServerAsk {
			m.request = "q"
		}
		check := func(form string, b []byte, err error, decode func([]byte) (*message, error)) {
			t.Helper()
			if err != nil {
				t.Errorf("%s %d: %v", form, op.Kind, err)
				return
			}
			got, err := decode(b)
			if err != nil || got.op == nil {
				t.Errorf("%s %d: %q: %v", form, op.Kind, b, err)
				return
			}
			want := normal(op)
			if form == "classic" && op.Kind != adapters.Emit && op.Kind != adapters.Ask {
				want.Volatile, want.NoCompress, want.Timeout = false, false, 0
			}
			if !reflect.DeepEqual(normal(got.op), want) || got.request != m.request || got.uid != "u" || got.namespace != "/" {
				t.Errorf("%s %d: %q came back as %+v", form, op.Kind, b, got.op)
			}
			if _, err := decode(b[:len(b)-1]); err == nil {
				t.Errorf("%s %d: cut, but accepted", form, op.Kind)
			}
			if _, err := decode(append(b[:len(b):len(b)], 0)); err == nil {
				t.Errorf("%s %d: with something behind, but accepted", form, op.Kind)
			}
		}
		b, err := encodeCluster(m, false)
		check("cluster", b, err, decodeCluster)
		b, err = encodeCluster(m, true)
		check("packed", b, err, decodeCluster)
		if op.Kind == adapters.Emit {
			b, err = encodeBroadcast(m)
			check("classic", b, err, decodeBroadcast)
		} else {
			b, err = encodeRequest(m)
			check("classic", b, err, decodeRequest)
		}
	}
}

func replies(t testing.TB) []*message {
	socket := adapters.Socket{
		ID: "s", Rooms: []string{"s", "r"}, Data: map[string]any{"user": "bob", "bin": []byte{1, 2}},
		Handshake: adapters.Handshake{
			Headers: map[string][]string{"User-Agent": {"x"}}, Time: "now", Issued: 5, Address: "::1", Secure: true, URL: "/u",
			Query: map[string][]string{"a": {"1", "2"}, "b": {"3"}}, Auth: json.RawMessage(`{"token":"x"}`),
		},
	}
	return []*message{
		{kind: kindFetchReply, reply: adapters.Reply{Clients: -1, Sockets: []adapters.Socket{socket, {ID: "t"}}}},
		{kind: kindFetchReply, reply: adapters.Reply{Clients: -1}},
		{kind: kindClients, reply: adapters.Reply{Clients: 0}},
		{kind: kindAck, reply: adapters.Reply{Clients: -1, Data: payload(t, map[string]any{"a": []byte{1}})}},
		{kind: kindAck, reply: adapters.Reply{Clients: -1, Data: payload(t)}},
		{kind: kindServerReply, reply: adapters.Reply{Clients: -1, Data: payload(t, []byte{7})}},
	}
}

func TestRepliesRoundTrip(t *testing.T) {
	for _, m := range replies(t) {
		m.uid, m.namespace, m.request = "u", "/", "q"
		for form, encode := range map[string]func() ([]byte, error){
			"cluster": func() ([]byte, error) { return encodeCluster(m, false) },
			"packed":  func() ([]byte, error) { return encodeCluster(m, true) },
			"classic": func() ([]byte, error) { return encodeResponse(m) },
		} {
			b, err := encode()
			if err != nil {
				t.Errorf("%s %d: %v", form, m.kind, err)
				continue
			}
			if m.kind == kindFetchReply && bytes.Contains(b, []byte("null")) {
				t.Errorf("%s: null for an empty list: %s", form, b)
			}
			decode := decodeCluster
			if form == "classic" {
				decode = decodeResponse
			}
			got, err := decode(b)
			if err != nil || got.kind != m.kind || got.request != "q" || got.uid != "u" {
				t.Errorf("%s %d: %q came back as %+v, %v", form, m.kind, b, got, err)
				continue
			}
			if !reflect.DeepEqual(got.reply.Data, m.reply.Data) || got.reply.Clients != m.reply.Clients || len(got.reply.Sockets) != len(m.reply.Sockets) {
				t.Errorf("%s %d: %q came back as %+v", form, m.kind, b, got.reply)
				continue
			}
			if len(got.reply.Sockets) > 0 && !reflect.DeepEqual(got.reply.Sockets[0], m.reply.Sockets[0]) {
				t.Errorf("%s: %q came back as %+v", form, b, got.reply.Sockets[0])
			}
		}
	}
}

// An ack carries its first argument alone.
func TestAckOfSeveralArguments(t *testing.T) {
	p := payload(t, []any{[]byte{1}, "x", []byte{2}}, []byte{3})
	one, err := single(p)
	want := payload(t, []any{[]byte{1}, "x", []byte{2}})
	if err != nil || !reflect.DeepEqual(list(one), want) {
		t.Errorf("%s %v, %v", one.JSON, one.Attachments, err)
	}
}

// TestMalformed has what crashes a Node server (redis-adapters.md, section 0),
// and more of its kind.
func TestMalformed(t *testing.T) {
	forms := map[string]func([]byte) (*message, error){
		"broadcast": decodeBroadcast, "request": decodeRequest, "response": decodeResponse, "cluster": decodeCluster,
	}
	for _, c := range []struct{ form, in string }{
		{"broadcast", ""}, {"broadcast", "garbage"}, {"broadcast", "\x80"}, {"broadcast", "\xc0"},
		{"broadcast", "\x92\xa1u\x82\xa4type\x02\xa4data\x91\xa1e"},                  // without opts
		{"broadcast", "\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa1e\x80\x00"},          // bytes behind
		{"broadcast", "\x93\xa1u\x82\xa4type\x01\xa4data\x91\xa1e\x80"},              // another packet
		{"broadcast", "\x93\xa1u\x82\xa4type\x02\xa4data\x90\x80"},                   // no name
		{"broadcast", "\x93\xa1u\x82\xa4type\x02\xa4data\x91\xaadisconnect\x80"},     // a name of the protocol's own
		{"broadcast", "\x93\xa1u\x82\xa4type\x02\xa4data\x91\xa1e\x81\xa5rooms\x01"}, // rooms are no list
		{"broadcast", "\x93\xa1u\x82\xa4type\x02\xa4data\xdd\xff\xff\xff\xff\x80"},   // a length that can't be
		{"broadcast", "\x93\xa1u" + strings.Repeat("\x91", 100_000)},
		{"request", "{"}, {"request", "[]"}, {"request", `{"type":5,"requestId":"q"}`}, {"request", `{"type":5,"opts":{}}`},
		{"request", `{"type":6,"data":[]}`}, {"request", `{"type":6,"data":{}}`}, {"request", `{"type":6}`},
		{"request", `{"type":2,"rooms":["a"]}`}, {"request", `{"type":"x"}`}, {"request", "{\"type\":0,\"requestId\":\"\xff\"}"},
		{"request", `{"type":2,"opts":{"rooms":{}},"rooms":["a"]}`}, {"request", `{"type":2,"opts":{"rooms":[[]]},"rooms":[]}`},
		{"response", `{"type":8,"requestId":"q"}`}, {"response", `{"sockets":[]}`}, {"response", `{"requestId":"q","sockets":[1]}`},
		{"response", `null`}, {"response", `{"requestId":"q","sockets":{"length":1}}`},
		{"cluster", `{"type":3}`}, {"cluster", `{"type":3,"data":{}}`}, {"cluster", `{"type":3,"data":{"packet":{"type":2,"data":["e"]},"opts":{"rooms":5}}}`},
		{"cluster", `{"type":7,"data":{"opts":{}}}`}, {"cluster", `{"type":8,"data":{"sockets":[]}}`}, {"cluster", `{"type":3,"data":[]}`},
		{"cluster", `{"type":9,"data":{"packet":["connect"]}}`}, {"cluster", `{"type":11,"data":{"requestId":"q"}}`},
		{"cluster", "\x81\xa4type\xc1"}, {"cluster", "\x00"}, {"cluster", `{"type":3,"data":{"packet":` + strings.Repeat("[", 20_000)},
	} {
		if m, err := forms[c.form](([]byte)(c.in)); err == nil {
			t.Errorf("%s %.60q was accepted: %+v", c.form, c.in, m)
		}
	}
}

// What others may send, though the official adapters don't.
func TestTolerated(t *testing.T) {
	m, err := decodeCluster([]byte(`{"nsp":"/","new":[{}],"uid":"u","data":{"more":1,"opts":{"rooms":[7,"a",1.5],"flags":{"volatile":true,"new":{}},"new":null},"packet":{"type":5,"data":["e"],"id":3}},"type":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m.op.Target.Rooms, []string{"7", "a", "1.5"}) || !m.op.Volatile || !m.acked || m.op.Kind != adapters.Emit {
		t.Errorf("%+v", m.op)
	}
	if m, err := decodeCluster([]byte(`{"type":2,"uid":"u","nsp":"/"}`)); err != nil || m.op != nil {
		t.Errorf("a heartbeat of an older adapter: %+v, %v", m, err)
	}
	if m, err := decodeRequest([]byte(`{"type":99,"uid":"u"}`)); err != nil || m.kind != 0 {
		t.Errorf("an unknown request: %+v, %v", m, err)
	}
	m, err = decodeRequest([]byte(`{"type":2,"sid":"s","room":"r","requestId":"q"}`))
	if err != nil || !m.old || m.op.Target.Rooms[0] != "s" || m.op.Rooms[0] != "r" {
		t.Errorf("an old request: %+v, %v", m, err)
	}
}

// Deep data would end a Node process that takes it apart by recursion.
func TestDeepDataIsNotSent(t *testing.T) {
	deep := parser.Payload{JSON: []byte(`["e",` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `]`)}
	m := &message{kind: kindBroadcast, op: &adapters.Op{Kind: adapters.Emit, Data: deep}}
	if _, err := encodeBroadcast(m); err == nil {
		t.Error("classic")
	}
	if _, err := encodeCluster(m, false); err == nil {
		t.Error("cluster")
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range readRecords(f) {
		f.Add(r.bytes())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if m, err := decodeBroadcast(in); err == nil {
			reencode(t, m, in, encodeBroadcast, decodeBroadcast)
		}
		if m, err := decodeCluster(in); err == nil && (m.op != nil || m.kind.isReply()) {
			reencode(t, m, in, func(m *message) ([]byte, error) { return encodeCluster(m, false) }, decodeCluster)
			reencode(t, m, in, func(m *message) ([]byte, error) { return encodeCluster(m, true) }, decodeCluster)
		}
		if m, err := decodeRequest(in); err == nil && m.op != nil && !m.old && m.kind != kindSockets {
			reencode(t, m, in, encodeRequest, decodeRequest)
		}
		if m, err := decodeResponse(in); err == nil && m.kind != 0 {
			reencode(t, m, in, encodeResponse, decodeResponse)
		}
	})
}

// reencode checks that what was understood can be said, and is understood again.
func reencode(t *testing.T, m *message, in []byte, encode func(*message) ([]byte, error), decode func([]byte) (*message, error)) {
	t.Helper()
	b, err := encode(m)
	if err != nil {
		t.Fatalf("%q was read but can't be written: %v", in, err)
	}
	again, err := decode(b)
	if err != nil || again.kind != m.kind || again.request != m.request {
		t.Fatalf("%q was read, but not when written as %q: %v", in, b, err)
	}
	event := m.kind == kindBroadcast || m.kind == kindServerEmit
	if m.op != nil && (m.op.Kind != again.op.Kind || event && len(m.op.Data.Attachments) != len(again.op.Data.Attachments)) {
		t.Fatalf("%q: %+v came back as %+v", in, m.op, again.op)
	}
}
