// Package queueapi lets Socket.IO clients use the queues and inboxes of a
// queues.Broker, with nothing but the stock client:
//
//	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{Store: store, Authorize: rules})
//	api := queueapi.Open(io.Of("/"), queueapi.Config{Broker: broker, Principal: user})
//
// A client sends the events queue:publish, queue:consume, queue:settle, queue:extend, queue:credit,
// queue:cancel, queue:stats, queue:peek, queue:admin, inbox:send, inbox:open, inbox:ack,
// inbox:subscribe, inbox:unsubscribe and inbox:close, each with one object and an ack callback. The answer is one
// object, {ok:true, …} or {ok:false, code, message, retryAfter?}. It gets queue:message, queue:batch,
// queue:revoked, queue:closed, queue:dropped, inbox:message, inbox:gap and inbox:closed. docs/queues.md has
// all their members. Times are in milliseconds.
//
// While a socket is connected the leases of its messages are renewed: the heartbeat of its
// connection says that it is alive. When it goes, its messages go back at once, or its session keeps
// them for its grace.
package queueapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// Config says how clients use a broker. Fields are zero for their default.
type Config struct {
	// Broker has the queues. It is the caller's to close, after the server was shut down.
	Broker *queues.Broker

	// Principal returns whom a socket belongs to. The broker's Authorize decides by it. If nil,
	// or "" is returned, the socket is nobody's: it may do what nobody in particular may.
	Principal func(*server.Socket) string

	// MaxConsumers and MaxInboxes bound what one socket has open. Defaults 16 and 4. Negative: no bound.
	MaxConsumers, MaxInboxes int

	// Logger is told what goes wrong. If nil, slog.Default() is used.
	Logger *slog.Logger
}

// API is a namespace whose clients can use queues.
type API struct {
	cfg     Config
	broker  *queues.Broker
	log     *slog.Logger
	acks    acker
	watches watches

	mu    sync.Mutex
	peers map[*server.Socket]*peer
}

// Open adds the events to a namespace, or to a parent of dynamic ones, and stores what is sent there
// with To(room).Durable().Emit (see API.Join).
func Open(ns *server.Namespace, cfg Config) *API {
	cfg.MaxConsumers = cmp.Or(cfg.MaxConsumers, 16)
	cfg.MaxInboxes = cmp.Or(cfg.MaxInboxes, 4)
	if cfg.Principal == nil {
		cfg.Principal = func(*server.Socket) string { return "" }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &API{cfg: cfg, broker: cfg.Broker, log: cfg.Logger, peers: map[*server.Socket]*peer{}}
	a.watches.api = a
	for event, handle := range map[string]func(*call) error{
		"queue:publish":     (*call).publish,
		"queue:consume":     (*call).consume,
		"queue:settle":      (*call).settle,
		"queue:extend":      (*call).extend,
		"queue:credit":      (*call).credit,
		"queue:cancel":      (*call).cancel,
		"queue:stats":       (*call).stats,
		"queue:peek":        (*call).peek,
		"queue:admin":       (*call).admin,
		"inbox:send":        (*call).inboxSend,
		"inbox:open":        (*call).inboxOpen,
		"inbox:ack":         (*call).inboxAck,
		"inbox:subscribe":   (*call).inboxSubscribe,
		"inbox:unsubscribe": (*call).inboxUnsubscribe,
		"inbox:close":       (*call).inboxClose,
	} {
		ns.Handle(event, func(ctx context.Context, e *server.Event) error {
			c := &call{patience: patience{parent: ctx, s: e.Socket}, api: a, e: e, s: e.Socket, client: *a.broker.As(cfg.Principal(e.Socket))}
			c.ctx = &c.patience
			defer c.patience.end()
			if err := handle(c); err != nil {
				c.fail(err)
			}
			return nil
		})
	}
	ns.KeepWith(a)
	return a
}

// callTimeout bounds what a client waits for where the store is asked while a handler waits.
const callTimeout = 10 * time.Second

// patience is the context of a request: callTimeout from when somebody looks at it. Most requests only hand
// something over, and are spared a timer.
type patience struct {
	parent context.Context
	s      *server.Socket // whose request it is
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
}

func (p *patience) begun() context.Context {
	p.once.Do(func() { p.ctx, p.cancel = context.WithTimeout(p.parent, callTimeout) })
	return p.ctx
}

// over is a context that has ended.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (p *patience) end() {
	p.once.Do(func() { p.ctx = over })
	if p.cancel != nil {
		p.cancel()
	}
}

// Deadline, Done, Err and Value do what context.Context says.
func (p *patience) Deadline() (time.Time, bool) { return p.begun().Deadline() }
func (p *patience) Done() <-chan struct{}       { return p.begun().Done() }
func (p *patience) Err() error                  { return p.begun().Err() }
func (p *patience) Value(key any) any {
	if key == (socketKey{}) {
		return p.s
	}
	return p.begun().Value(key)
}

type socketKey struct{}

// SocketOf returns the socket that wants to do what an Authorize is asked about, by the context that it is given. It is nil if the
// principal has none here: who uses a queues.Client in Go.
func SocketOf(ctx context.Context) *server.Socket {
	s, _ := ctx.Value(socketKey{}).(*server.Socket)
	return s
}

// call is one request of a client.
type call struct {
	ctx      context.Context // patience
	patience patience
	api      *API
	e        *server.Event
	s        *server.Socket
	client   queues.Client // as the socket's principal
}

// decode decodes the request's object.
func (c *call) decode(v any) error {
	if err := c.e.Decode(v); err != nil {
		return BadJSON("", err)
	}
	return nil
}

// BadJSON says, in the words of whoever wrote it, what is wrong with JSON that can't be decoded; what says where that is.
func BadJSON(what string, err error) error {
	text := err.Error()
	if t := (*json.UnmarshalTypeError)(nil); errors.As(err, &t) {
		// Embedded structs are part of the path, but not of the JSON: their names begin with a capital letter.
		path := slices.DeleteFunc(strings.Split(t.Field, "."), func(name string) bool { return name == "" || name[0] < 'a' })
		text = fmt.Sprintf("%s can't be %s", strings.Join(path, "."), article(t.Value))
		if len(path) == 0 {
			text = "an object is needed, not " + article(t.Value)
		}
	}
	if what != "" {
		text = what + ": " + text
	}
	return queues.Refuse(queues.CodeBadRequest, text)
}

// article is a JSON value's kind with its article, or the value itself, as encoding/json names it.
func article(kind string) string {
	switch kind {
	case "array", "object":
		return "an " + kind
	case "string", "number", "bool":
		return "a " + kind
	}
	return kind
}

// data returns a part of the request as data of its own.
func (c *call) data(raw json.RawMessage) (queues.Payload, error) {
	if raw == nil {
		return queues.Payload{}, queues.Refuse(queues.CodeBadRequest, "data is missing")
	}
	p, err := c.e.Args.Part(raw)
	if err != nil {
		return queues.Payload{}, queues.Refuse(queues.CodeBadRequest, err.Error())
	}
	return queues.Payload{JSON: p.JSON, Attachments: p.Attachments}, nil
}

// reply answers the request.
func (c *call) reply(v any) { c.api.acks.add(c.e, v) }

// done is the answer that says no more than that it was done.
type done struct {
	OK bool `json:"ok"`
}

// Refusal is the answer that says why not.
type Refusal struct {
	OK         bool        `json:"ok"`
	Code       queues.Code `json:"code"`
	Message    string      `json:"message"`
	RetryAfter int64       `json:"retryAfter,omitempty"`
}

// RefusalOf is the answer for an error.
func RefusalOf(err error) Refusal {
	r := Refusal{Code: queues.CodeOf(err), Message: queues.ErrUnavailable.Message}
	if e := (*queues.Error)(nil); errors.As(err, &e) {
		r.Message, r.RetryAfter = e.Message, e.RetryAfter.Milliseconds()
	}
	return r
}

func (c *call) fail(err error) {
	if e := (*queues.Error)(nil); !errors.As(err, &e) && !errors.Is(err, context.Canceled) {
		c.api.log.Warn("a request of a queue failed", "event", c.e.Name, "error", err)
	}
	c.reply(RefusalOf(err))
}

// longest is the longest time in milliseconds that a time.Duration holds, more or less.
const longest = 9e12

// duration returns ms milliseconds, refusing what is no time.
func duration(name string, ms float64) (time.Duration, error) {
	if !(ms >= 0 && ms <= longest) {
		return 0, queues.Refuse(queues.CodeBadRequest, name+" isn't a number of milliseconds")
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}

// anyDuration returns ms milliseconds, or what comes next to it, for who says himself what is too long, or no time.
func anyDuration(ms float64) time.Duration {
	return time.Duration(max(min(ms, longest), -longest) * float64(time.Millisecond))
}
