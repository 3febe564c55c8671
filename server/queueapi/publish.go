package queueapi

import (
	"encoding/json"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// draft is a message in queue:publish.
type draft struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Data     json.RawMessage   `json:"data"`
	Delay    float64           `json:"delay"` // ms
	At       float64           `json:"at"`    // Unix ms
	TTL      float64           `json:"ttl"`   // ms
	Priority int               `json:"priority"`
	Headers  map[string]string `json:"headers"`
}

// message turns d into what the broker takes.
func (c *call) message(d *draft) (*queues.Draft, error) {
	data, err := c.data(d.Data)
	if err != nil {
		return nil, err
	}
	m := &queues.Draft{ID: d.ID, Key: d.Key, Priority: d.Priority, Headers: d.Headers, Payload: data}
	if m.Delay, err = duration("delay", d.Delay); err != nil {
		return nil, err
	}
	if m.TTL, err = duration("ttl", d.TTL); err != nil {
		return nil, err
	}
	if d.At != 0 {
		if _, err := duration("at", d.At); err != nil {
			return nil, err
		}
		m.At = time.UnixMilli(int64(d.At))
	}
	return m, nil
}

// published is the answer for one message.
type published struct {
	OK        bool   `json:"ok"`
	ID        string `json:"id"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

func publishedAs(r queues.PublishResult) any {
	if r.Err != nil {
		return refuse(r.Err)
	}
	return published{true, r.ID, r.Seq, r.Duplicate}
}

// publish answers queue:publish {queue, data, …} or {queue, messages: [{data, …}]}.
func (c *call) publish() error {
	var in struct {
		Queue    string  `json:"queue"`
		Messages []draft `json:"messages"`
		draft
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	many := in.Messages != nil
	if !many {
		in.Messages = []draft{in.draft}
	}
	drafts := make([]*queues.Draft, len(in.Messages))
	for i := range in.Messages {
		var err error
		if drafts[i], err = c.message(&in.Messages[i]); err != nil {
			return err
		}
	}
	c.client.PublishFunc(c.ctx, in.Queue, drafts, func(results []queues.PublishResult, err error) {
		switch {
		case err != nil:
			c.fail(err)
		case many:
			all := make([]any, len(results))
			for i, r := range results {
				all[i] = publishedAs(r)
			}
			c.reply(map[string]any{"ok": true, "results": all})
		default:
			c.reply(publishedAs(results[0]))
		}
	})
	return nil
}
