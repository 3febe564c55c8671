package redisadapter

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// Emitter sends to the sockets of a cluster from a process that has none
// itself. It is not counted as a node, and hears no answers. An Emitter is a
// value that names sockets, and how to send to them: each method returns a
// changed copy. It means all sockets of a namespace unless To says otherwise.
//
// Methods that send wait until Redis has taken the message. It is sent once: after an error that
// leaves open whether Redis has it, it isn't sent again, whatever MaxRetries of the client says.
type Emitter struct {
	send          func(ctx context.Context, m *message) error
	namespace     string
	rooms, except []string
	volatile      bool
	noCompress    bool
}

// emitterUID is what official emitters call themselves.
const emitterUID = "emitter"

// NewEmitter returns an emitter to nodes with the classic adapter. Of cfg,
// Prefix and MaxMessage are used.
func NewEmitter(rdb redis.UniversalClient, cfg Config) Emitter {
	cfg = cfg.withDefaults()
	once := onceOn(rdb)
	return Emitter{namespace: "/", send: func(ctx context.Context, m *message) error {
		encode, channel := encodeBroadcast, classicChannel(cfg.Prefix+"#"+m.namespace+"#", m.op)
		if m.kind != kindBroadcast {
			encode, channel = encodeRequest, cfg.Prefix+"-request#"+m.namespace+"#"
			if m.kind != kindServerEmit { // as the official one
				m.uid = ""
			}
		}
		b, err := checked(encode(m))(cfg.MaxMessage)
		if err != nil {
			return err
		}
		return once(ctx, channel, func(c *redis.Client) error { return c.Publish(ctx, channel, b).Err() })
	}}
}

// NewShardedEmitter returns an emitter to nodes with the sharded adapter, for
// which there is no official one. Of cfg, Prefix, Mode and MaxMessage are used.
func NewShardedEmitter(rdb redis.UniversalClient, cfg Config) Emitter {
	cfg = cfg.withDefaults()
	once := onceOn(rdb)
	return Emitter{namespace: "/", send: func(ctx context.Context, m *message) error {
		b, err := checked(encodeCluster(m, false))(cfg.MaxMessage)
		if err != nil {
			return err
		}
		channel := shardedChannel(cfg.Prefix+"#"+m.namespace+"#", m.namespace, cfg.Mode, m.op)
		return once(ctx, channel, func(c *redis.Client) error { return c.SPublish(ctx, channel, b).Err() })
	}}
}

// NewStreamsEmitter returns an emitter to nodes with the streams adapter. stream
// names the stream; if empty, "socket.io" is used. Of several streams, such as "socket.io-0", events
// arrive by any, but clients of a namespace can't recover when they come by another than its own.
// It is cut to about maxLen entries: the same as on the nodes; if zero, 100,000. Of cfg, MaxMessage is used.
func NewStreamsEmitter(rdb redis.UniversalClient, stream string, maxLen int64, cfg Config) Emitter {
	streams := StreamsConfig{Config: cfg, Stream: stream, MaxLen: maxLen}.withDefaults()
	once := onceOn(rdb)
	return Emitter{namespace: "/", send: func(ctx context.Context, m *message) error {
		data, err := checked(streamData(m))(streams.MaxMessage)
		if err != nil {
			return err
		}
		return once(ctx, streams.Stream, func(c *redis.Client) error {
			return c.XAdd(ctx, &redis.XAddArgs{
				Stream: streams.Stream, MaxLen: streams.MaxLen, Approx: true, ID: "*",
				Values: []any{fieldUID, m.uid, fieldNsp, m.namespace, fieldType, strconv.Itoa(int(m.kind)), fieldData, data},
			}).Err()
		})
	}}
}

// onceTries is how often an emitter asks Redis to take a message that it has refused so far.
const onceTries = 8

// onceOn returns a function that has the server of a key carry out a command at most once: again only
// after an error that says that it wasn't.
func onceOn(rdb redis.UniversalClient) func(ctx context.Context, key string, f func(c *redis.Client) error) error {
	return func(ctx context.Context, key string, f func(c *redis.Client) error) error {
		for attempt := 0; ; attempt++ {
			server, err := serverOf(ctx, rdb, key)
			if err == nil {
				err = f(withoutRetries(server))
			}
			if err == nil || attempt == onceTries || ctx.Err() != nil || !untaken(err) {
				return err
			}
			moved(ctx, rdb, err)
			sleep(ctx, backoff(attempt))
		}
	}
}

// withoutRetries returns c with the same connections, but as one that sends nothing twice.
func withoutRetries(c *redis.Client) *redis.Client {
	c = c.WithTimeout(c.Options().ReadTimeout)
	c.Options().MaxRetries = 0 // they are this copy's own
	return c
}

// untaken reports whether a command is known not to have been carried out, and may be later, or elsewhere.
func untaken(err error) bool {
	var dialling *net.OpError
	if errors.As(err, &dialling) && dialling.Op == "dial" {
		return true
	}
	text := err.Error()
	return isReply(err) && (elsewhere(text) || slices.ContainsFunc([]string{"READONLY ", "LOADING ", "MASTERDOWN "},
		func(prefix string) bool { return strings.HasPrefix(text, prefix) }))
}

// streamData returns the data of an entry: JSON, or MessagePack as base64.
func streamData(m *message) ([]byte, error) {
	if !m.binary() {
		w := &jsonSink{dst: make([]byte, 0, m.size())}
		err := writeData(w, m)
		return w.dst, err
	}
	w := &packSink{dst: make([]byte, 0, m.size())}
	if err := writeData(w, m); err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, w.dst), nil
}

// checked returns what was encoded unless it is too large.
func checked(b []byte, err error) func(limit int) ([]byte, error) {
	return func(limit int) ([]byte, error) {
		if err == nil && len(b) > limit {
			err = fmt.Errorf("%w: %d bytes", errLong, len(b))
		}
		return b, err
	}
}

// Of returns an emitter to another namespace. A missing leading slash is added.
func (e Emitter) Of(namespace string) Emitter {
	if !strings.HasPrefix(namespace, "/") {
		namespace = "/" + namespace
	}
	return Emitter{send: e.send, namespace: namespace}
}

// To adds rooms: sockets in any of them are meant. A socket's own room is named by its id.
func (e Emitter) To(rooms ...string) Emitter {
	e.rooms = append(slices.Clip(e.rooms), rooms...)
	return e
}

// In is To.
func (e Emitter) In(rooms ...string) Emitter { return e.To(rooms...) }

// Except leaves out who is in any of the rooms.
func (e Emitter) Except(rooms ...string) Emitter {
	e.except = append(slices.Clip(e.except), rooms...)
	return e
}

// Volatile lets the event be dropped for sockets to which it can't be written at once.
func (e Emitter) Volatile() Emitter { e.volatile = true; return e }

// Compress says whether the transport may compress the event.
func (e Emitter) Compress(on bool) Emitter { e.noCompress = !on; return e }

// Emit sends an event to the sockets named.
func (e Emitter) Emit(ctx context.Context, event string, args ...any) error {
	data, err := parser.MarshalEvent(event, args...)
	if err != nil {
		return err
	}
	return e.publish(ctx, &adapters.Op{Kind: adapters.Emit, Data: data, Volatile: e.volatile, NoCompress: e.noCompress})
}

// Join makes the sockets named join rooms.
func (e Emitter) Join(ctx context.Context, rooms ...string) error {
	return e.publish(ctx, &adapters.Op{Kind: adapters.Join, Rooms: rooms})
}

// Leave makes the sockets named leave rooms.
func (e Emitter) Leave(ctx context.Context, rooms ...string) error {
	return e.publish(ctx, &adapters.Op{Kind: adapters.Leave, Rooms: rooms})
}

// Disconnect disconnects the sockets named: from the namespace, or their
// whole connections.
func (e Emitter) Disconnect(ctx context.Context, closeConn bool) error {
	return e.publish(ctx, &adapters.Op{Kind: adapters.Disconnect, Close: closeConn})
}

// ServerSideEmit sends an event to the nodes themselves, whatever rooms are named.
func (e Emitter) ServerSideEmit(ctx context.Context, event string, args ...any) error {
	data, err := parser.MarshalEvent(event, args...)
	if err != nil {
		return err
	}
	return e.publish(ctx, &adapters.Op{Kind: adapters.ServerEmit, Data: data})
}

func (e Emitter) publish(ctx context.Context, op *adapters.Op) error {
	if op.Kind != adapters.ServerEmit {
		op.Target = rooms.Target{Rooms: e.rooms, Except: e.except}
	}
	err := e.send(ctx, &message{kind: kindOf(op), uid: emitterUID, namespace: e.namespace, op: op})
	if err != nil {
		return fmt.Errorf("redisadapter: emit: %w", err)
	}
	return nil
}
