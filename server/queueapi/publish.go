package queueapi

import (
	"encoding/json"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// Draft is a message to be published, as clients and the HTTP API write it.
type Draft struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Data     json.RawMessage   `json:"data"`
	Delay    float64           `json:"delay"` // ms
	At       float64           `json:"at"`    // Unix ms
	TTL      float64           `json:"ttl"`   // ms
	Priority int               `json:"priority"`
	Headers  map[string]string `json:"headers"`
}

// Message returns what the broker takes, and refuses if there is something wrong with it. data makes data of its own of Data.
func (d *Draft) Message(data func(json.RawMessage) (queues.Payload, error)) *queues.Draft {
	m := &queues.Draft{
		ID: d.ID, Key: d.Key, Priority: d.Priority, Headers: d.Headers, Delay: anyDuration(d.Delay), TTL: anyDuration(d.TTL),
	}
	m.Payload, _ = data(d.Data) // none is refused
	if d.At != 0 {
		m.At = time.UnixMilli(anyDuration(d.At).Milliseconds())
	}
	return m
}

// published is the answer for one message.
type published struct {
	OK        bool   `json:"ok"`
	ID        string `json:"id"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// PublishedAs is the answer for one message.
func PublishedAs(r queues.PublishResult) any {
	if r.Err != nil {
		return RefusalOf(r.Err)
	}
	return published{true, r.ID, r.Seq, r.Duplicate}
}

// Drafts is what queue:publish carries: one message, or many.
type Drafts struct {
	Messages []Draft `json:"messages"`
	Draft
}

// All returns the messages for the broker; many says that the answer is to be a list.
func (d *Drafts) All(data func(json.RawMessage) (queues.Payload, error)) (drafts []*queues.Draft, many bool) {
	if d.Messages == nil {
		return []*queues.Draft{d.Draft.Message(data)}, false
	}
	drafts = make([]*queues.Draft, len(d.Messages))
	for i := range d.Messages {
		drafts[i] = d.Messages[i].Message(data)
	}
	return drafts, true
}

// ResultsOf is the answer to Drafts.
func ResultsOf(results []queues.PublishResult, many bool) any {
	if !many {
		return PublishedAs(results[0])
	}
	all := make([]any, len(results))
	for i, r := range results {
		all[i] = PublishedAs(r)
	}
	return map[string]any{"ok": true, "results": all}
}

// publish answers queue:publish {queue, data, …} or {queue, messages: [{data, …}]}.
func (c *call) publish() error {
	var in struct {
		Queue string `json:"queue"`
		Drafts
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	drafts, many := in.All(c.data)
	c.client.PublishFunc(c.ctx, in.Queue, drafts, func(results []queues.PublishResult, err error) {
		if err != nil {
			c.fail(err)
			return
		}
		c.reply(ResultsOf(results, many))
	})
	return nil
}
