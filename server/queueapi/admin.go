package queueapi

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// stats answers queue:stats {queue}, or {} for all queues that the socket may inspect.
func (c *call) stats() error {
	var in struct {
		Queue string `json:"queue"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Queue != "" {
		st, err := c.client.Stats(c.ctx, in.Queue)
		if err != nil {
			return err
		}
		c.reply(struct {
			done
			Numbers
		}{done{true}, NumbersOf(in.Queue, st)})
		return nil
	}
	names, err := c.client.Queues(c.ctx)
	if err != nil {
		return err
	}
	all := make([]Numbers, 0, len(names))
	for _, name := range names {
		if st, err := c.client.Stats(c.ctx, name); err == nil {
			all = append(all, NumbersOf(name, st))
		}
	}
	c.reply(map[string]any{"ok": true, "queues": all})
	return nil
}

// Numbers are the numbers of a queue as clients and the HTTP API get them.
type Numbers struct {
	Queue        string `json:"queue"`
	Ready        int    `json:"ready"`
	Scheduled    int    `json:"scheduled"`
	Leased       int    `json:"leased"`
	Blocked      int    `json:"blocked"`
	Dead         int    `json:"dead"`
	Bytes        int64  `json:"bytes"`
	OldestMs     int64  `json:"oldestMs"`
	Paused       string `json:"paused,omitempty"` // publish, consume or both
	Published    uint64 `json:"published"`
	Duplicates   uint64 `json:"duplicates"`
	Refused      uint64 `json:"refused"`
	Delivered    uint64 `json:"delivered"`
	Redelivered  uint64 `json:"redelivered"`
	Acked        uint64 `json:"acked"`
	Nacked       uint64 `json:"nacked"`
	Released     uint64 `json:"released"`
	Lapsed       uint64 `json:"lapsed"`
	DeadLettered uint64 `json:"deadLettered"`
	Expired      uint64 `json:"expired"`
	Dropped      uint64 `json:"dropped"`
}

// NumbersOf returns the numbers of a queue.
func NumbersOf(queue string, s queues.Stats) Numbers {
	n := Numbers{
		Queue: queue, Ready: s.Ready, Scheduled: s.Scheduled, Leased: s.Leased, Blocked: s.Blocked, Dead: s.Dead,
		Bytes: s.Bytes, OldestMs: s.Oldest.Milliseconds(), Published: s.Published, Duplicates: s.Duplicates, Refused: s.Refused,
		Delivered: s.Delivered, Redelivered: s.Redelivered, Acked: s.Acked, Nacked: s.Nacked, Released: s.Released,
		Lapsed: s.Lapsed, DeadLettered: s.DeadLettered, Expired: s.Expired, Dropped: s.Dropped,
	}
	switch {
	case s.PublishPaused && s.ConsumePaused:
		n.Paused = "both"
	case s.PublishPaused:
		n.Paused = "publish"
	case s.ConsumePaused:
		n.Paused = "consume"
	}
	return n
}

// Shown is a message as peek shows it. Data is its JSON; binary values are only counted.
type Shown struct {
	ID       string            `json:"id"`
	Seq      uint64            `json:"seq"`
	State    queues.State      `json:"state"`
	Key      string            `json:"key,omitempty"`
	Priority int               `json:"priority,omitempty"`
	Attempt  int               `json:"attempt"`
	Failures int               `json:"failures"`
	At       int64             `json:"at"`
	Until    int64             `json:"until,omitempty"`
	Holder   string            `json:"holder,omitempty"` // node that has it
	Reason   string            `json:"reason,omitempty"`
	Error    string            `json:"error,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Data     json.RawMessage   `json:"data"`
	Binary   int               `json:"binary,omitempty"`
}

// ShownOf returns how a message is shown.
func ShownOf(m *queues.Info) Shown {
	s := Shown{
		ID: m.ID, Seq: m.Seq, State: m.State, Key: m.Key, Priority: m.Priority, Attempt: m.Attempt, Failures: m.Failures,
		At: m.Stored.UnixMilli(), Holder: m.Node, Reason: m.Reason, Error: m.Error, Headers: m.Headers,
		Data: json.RawMessage(m.Payload.JSON), Binary: len(m.Payload.Attachments),
	}
	if !m.Until.IsZero() {
		s.Until = m.Until.UnixMilli()
	}
	return s
}

// peek answers queue:peek {queue, n?, offset?, state?}.
func (c *call) peek() error {
	in := struct {
		Queue  string       `json:"queue"`
		N      int          `json:"n"`
		Offset int          `json:"offset"`
		State  queues.State `json:"state"`
	}{N: 10, State: queues.Ready}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.N > maxPeek {
		return queues.Refuse(queues.CodeBadRequest, "n is at most 100")
	}
	list, err := c.client.Peek(c.ctx, in.Queue, in.State, in.Offset, in.N)
	if err != nil {
		return err
	}
	shown := make([]Shown, len(list))
	for i, m := range list {
		shown[i] = ShownOf(m)
	}
	c.reply(map[string]any{"ok": true, "messages": shown})
	return nil
}

const maxPeek = 100

// admin answers queue:admin {op, queue, …}: pause and resume {publish?, consume?}, purge {dead?},
// redrive {n?, ids?, rate?}, configure {config}, watch and unwatch, delete {force?}.
func (c *call) admin() error {
	in := struct {
		Op      string          `json:"op"`
		Queue   string          `json:"queue"`
		Publish *bool           `json:"publish"`
		Consume *bool           `json:"consume"`
		Dead    bool            `json:"dead"`
		N       int             `json:"n"`
		IDs     []string        `json:"ids"`
		Rate    float64         `json:"rate"`
		Config  json.RawMessage `json:"config"`
		Force   bool            `json:"force"`
	}{N: -1}
	if err := c.decode(&in); err != nil {
		return err
	}
	count := -1
	var err error
	switch in.Op {
	case "pause", "resume":
		// Without saying which, it is both.
		on := in.Op == "pause"
		both := in.Publish == nil && in.Consume == nil
		var st queues.Stats
		if st, err = c.client.Stats(c.ctx, in.Queue); err == nil {
			publish, consume := st.PublishPaused, st.ConsumePaused
			if both || in.Publish != nil && *in.Publish {
				publish = on
			}
			if both || in.Consume != nil && *in.Consume {
				consume = on
			}
			err = c.client.Pause(c.ctx, in.Queue, publish, consume)
		}
	case "purge":
		count, err = c.client.Purge(c.ctx, in.Queue, in.Dead)
	case "redrive":
		if in.Rate > 0 {
			return c.redriveSlowly(in.Queue, in.N, in.IDs, in.Rate)
		}
		count, err = c.client.Redrive(c.ctx, in.Queue, in.N, in.IDs, 0)
	case "configure":
		var cfg queues.Config
		if cfg, err = ParseConfig(in.Config); err == nil {
			err = c.client.Configure(c.ctx, in.Queue, cfg)
		}
	case "watch", "unwatch":
		err = c.watch(in.Queue, in.Op == "watch")
	case "delete":
		err = c.client.Delete(c.ctx, in.Queue, in.Force)
	default:
		err = queues.Refuse(queues.CodeBadRequest, "op is pause, resume, purge, redrive, configure, watch, unwatch or delete")
	}
	if err != nil {
		return err
	}
	if count >= 0 {
		c.reply(map[string]any{"ok": true, "n": count})
		return nil
	}
	c.reply(done{true})
	return nil
}

// redriveSlowly has dead messages redriven as long as it takes, or until the socket goes. The socket's other requests don't
// wait for it; but it has only one at a time.
func (c *call) redriveSlowly(queue string, n int, ids []string, rate float64) error {
	p, ctx := c.api.peer(c.s), c.s.Context()
	if !p.redrives.CompareAndSwap(false, true) {
		return queues.Refuse(queues.CodeRateLimited, "this connection has a redrive under way")
	}
	go func() {
		defer p.redrives.Store(false)
		count, err := c.client.Redrive(ctx, queue, n, ids, rate)
		if err != nil {
			c.fail(err)
			return
		}
		c.reply(map[string]any{"ok": true, "n": count})
	}()
	return nil
}

// Settings are the configuration of a queue as clients and the HTTP API write it and get it: the members of queues.Config,
// times in milliseconds. Zero is the default, and negative is none.
type Settings struct {
	LeaseMs           int64           `json:"leaseMs"`
	MaxFailures       int             `json:"maxFailures"`
	MaxAttempts       int             `json:"maxAttempts"`
	BackoffBaseMs     int64           `json:"backoffBaseMs"`
	BackoffMaxMs      int64           `json:"backoffMaxMs"`
	MaxLen            int             `json:"maxLen"`
	MaxBytes          int64           `json:"maxBytes"`
	Overflow          queues.Overflow `json:"overflow"`
	TTLMs             int64           `json:"ttlMs"`
	DeadLetterExpired bool            `json:"deadLetterExpired"`
	DeadTTLMs         int64           `json:"deadTTLMs"`
	DeadMax           int             `json:"deadMax"`
	OnFail            queues.OnFail   `json:"onFail"`
	DedupeMs          int64           `json:"dedupeMs"`
	DedupeBytes       int64           `json:"dedupeBytes"`
	Rate              float64         `json:"rate"`
	Burst             int             `json:"burst"`
	PublishRate       float64         `json:"publishRate"`
	PublishBurst      int             `json:"publishBurst"`
	MaxPayload        int             `json:"maxPayload"`
	MaxProcessingMs   int64           `json:"maxProcessingMs"`
	MaxConsumers      int             `json:"maxConsumers"`
	Durability        string          `json:"durability"`
}

// ParseConfig reads Settings. The error names what isn't one.
func ParseConfig(raw json.RawMessage) (queues.Config, error) {
	var in Settings
	if len(raw) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return queues.Config{}, BadJSON("config", err)
		}
	}
	ms := func(v int64) time.Duration {
		return time.Duration(max(min(v, 1e12), -1)) * time.Millisecond
	}
	return queues.Config{
		Lease: ms(in.LeaseMs), MaxFailures: in.MaxFailures, MaxAttempts: in.MaxAttempts,
		BackoffBase: ms(in.BackoffBaseMs), BackoffMax: ms(in.BackoffMaxMs),
		MaxLen: in.MaxLen, MaxBytes: in.MaxBytes, Overflow: in.Overflow,
		TTL: ms(in.TTLMs), DeadLetterExpired: in.DeadLetterExpired, DeadTTL: ms(in.DeadTTLMs), DeadMax: in.DeadMax,
		OnFail: in.OnFail, Dedupe: ms(in.DedupeMs), DedupeBytes: in.DedupeBytes,
		Rate: in.Rate, Burst: in.Burst, PublishRate: in.PublishRate, PublishBurst: in.PublishBurst,
		MaxPayload: in.MaxPayload, MaxProcessing: ms(in.MaxProcessingMs), MaxConsumers: in.MaxConsumers,
		Durability: in.Durability,
	}, nil
}

// unbounded is what bounds are of which there are none.
var unbounded = queues.Config{MaxBytes: -1, MaxLen: -1, MaxProcessing: -1}.WithDefaults()

// SettingsOf returns a configuration that is complete as Settings: parsed again they are the same.
func SettingsOf(c queues.Config) Settings {
	number := func(v int) int {
		if v >= unbounded.MaxLen {
			return -1
		}
		return v
	}
	bytes := func(v int64) int64 {
		if v >= unbounded.MaxBytes {
			return -1
		}
		return v
	}
	ms := func(d time.Duration) int64 {
		if d < 0 || d >= unbounded.MaxProcessing {
			return -1
		}
		return d.Milliseconds()
	}
	return Settings{
		LeaseMs: ms(c.Lease), MaxFailures: number(c.MaxFailures), MaxAttempts: number(c.MaxAttempts),
		BackoffBaseMs: ms(c.BackoffBase), BackoffMaxMs: ms(c.BackoffMax),
		MaxLen: number(c.MaxLen), MaxBytes: bytes(c.MaxBytes), Overflow: c.Overflow,
		TTLMs: ms(c.TTL), DeadLetterExpired: c.DeadLetterExpired, DeadTTLMs: ms(c.DeadTTL), DeadMax: number(c.DeadMax),
		OnFail: c.OnFail, DedupeMs: ms(c.Dedupe), DedupeBytes: bytes(c.DedupeBytes),
		Rate: c.Rate, Burst: c.Burst, PublishRate: c.PublishRate, PublishBurst: c.PublishBurst,
		MaxPayload: number(c.MaxPayload), MaxProcessingMs: ms(c.MaxProcessing), MaxConsumers: number(c.MaxConsumers),
		Durability: c.Durability,
	}
}

// InboxNumbers are the numbers of an inbox as the HTTP API tells them.
type InboxNumbers struct {
	Inbox   string `json:"inbox"`
	Epoch   uint64 `json:"epoch"` // 0: there is no such inbox
	Len     int    `json:"len"`
	Bytes   int64  `json:"bytes"`
	Last    uint64 `json:"last"`
	Acked   uint64 `json:"acked"`
	Owners  int    `json:"owners"`
	Topics  int    `json:"topics"`
	Dropped uint64 `json:"dropped"`
	Expired uint64 `json:"expired"`
}

// InboxNumbersOf returns the numbers of an inbox.
func InboxNumbersOf(inbox string, s queues.InboxStats) InboxNumbers {
	return InboxNumbers{
		Inbox: inbox, Epoch: s.Epoch, Len: s.Len, Bytes: s.Bytes, Last: s.Last, Acked: s.Acked,
		Owners: s.Owners, Topics: s.Topics, Dropped: s.Dropped, Expired: s.Expired,
	}
}
