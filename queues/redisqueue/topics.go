package redisqueue

import (
	"context"
	"errors"
	"strconv"

	"github.com/roomcast/roomcast/queues"
)

// A membership is kept twice: with the inbox, which decides, and in the topic's set, for those who
// fan out. The set may have inboxes that aren't members, but has all that are.

// Subscribe does queues.InboxStore.Subscribe.
func (s *store) Subscribe(ctx context.Context, inbox, topic string, l queues.InboxLimits) error {
	added, err := s.rdb.SAdd(ctx, s.topicKey(topic), inbox).Result()
	if err != nil {
		return refusal(err)
	}
	full := s.fullOfInboxes(ctx, l)
	a, err := s.ask(ctx, subscribeFunction, s.inboxKey(inbox), topic, l.Topics, devicesArg(l, full))
	if err == nil {
		what := a.number()
		if what == 2 {
			s.counted(ctx, 1)
		}
		if what > 0 || a.bad {
			return a.err()
		}
		err = queues.Refuse(queues.CodeQueueFull, "the inbox is subscribed to too many topics")
	} else if !errors.Is(err, queues.ErrQueueFull) {
		return err
	}
	if err == error(queues.ErrDevices) {
		err = tooMany(full)
	}
	if added > 0 {
		s.rdb.SRem(ctx, s.topicKey(topic), inbox) // if it stays, it is skipped
	}
	return err
}

// Unsubscribe does queues.InboxStore.Unsubscribe.
func (s *store) Unsubscribe(ctx context.Context, inbox, topic string) error {
	topics := s.inboxKey(inbox) + ":topics"
	if err := s.rdb.HDel(ctx, topics, topic).Err(); err != nil {
		return refusal(err)
	}
	if err := s.rdb.SRem(ctx, s.topicKey(topic), inbox).Err(); err != nil {
		return refusal(err)
	}
	// Somebody may have subscribed it meanwhile.
	again, err := s.rdb.HExists(ctx, topics, topic).Result()
	if err == nil && again {
		err = s.rdb.SAdd(ctx, s.topicKey(topic), inbox).Err()
	}
	if err != nil {
		return refusal(err)
	}
	return nil
}

// Members does queues.InboxStore.Members. after is what SSCAN said.
func (s *store) Members(ctx context.Context, topic, after string, n int) (inboxes []string, next string, err error) {
	cursor, _ := strconv.ParseUint(after, 10, 64)
	inboxes, at, err := s.rdb.SScan(ctx, s.topicKey(topic), cursor, "", int64(max(n, 1))).Result()
	if err != nil {
		return nil, "", refusal(err)
	}
	if at != 0 {
		next = strconv.FormatUint(at, 10)
	}
	return inboxes, next, nil
}
