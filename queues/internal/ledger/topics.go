package ledger

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/roomcast/roomcast/queues"
)

// Subscribe does InboxStore.Subscribe.
func (l *Ledger) Subscribe(name, topic string, limits queues.InboxLimits) error {
	b, err := l.inboxOf(name, &limits)
	if err != nil {
		return err
	}
	if _, ok := b.topics[topic]; ok {
		return nil
	}
	if len(b.topics) >= limits.Topics {
		return queues.Refuse(queues.CodeQueueFull, "the inbox is subscribed to too many topics")
	}
	l.joinTopic(b, topic, 0)
	l.kv.Set(kindKey(keyTopic, b.no, []byte(topic)...), numbers(0))
	return nil
}

func (l *Ledger) joinTopic(b *inbox, topic string, seq uint64) {
	if b.topics == nil {
		b.topics = map[string]uint64{}
	}
	b.topics[topic] = seq
	t := l.topics[topic]
	if t == nil {
		t = &members{}
		l.topics[topic] = t
	}
	t.add(b)
}

// Unsubscribe does InboxStore.Unsubscribe.
func (l *Ledger) Unsubscribe(name, topic string) {
	b := l.inboxes[name]
	if b == nil {
		return
	}
	if _, ok := b.topics[topic]; ok {
		l.leaveTopic(b, topic)
		l.kv.Delete(kindKey(keyTopic, b.no, []byte(topic)...))
	}
}

func (l *Ledger) leaveTopic(b *inbox, topic string) {
	delete(b.topics, topic)
	if t := l.topics[topic]; t != nil {
		t.remove(b)
		if len(t.list) == 0 {
			delete(l.topics, topic)
		}
	}
}

// Members does InboxStore.Members.
func (l *Ledger) Members(topic, after string, n int) (names []string, next string) {
	t := l.topics[topic]
	if t == nil {
		return nil, ""
	}
	no, _ := strconv.ParseUint(after, 10, 32)
	i, found := t.place(uint32(no))
	if found {
		i++
	}
	end := min(i+max(n, 1), len(t.list))
	for _, b := range t.list[i:end] {
		names = append(names, b.name)
	}
	if end < len(t.list) {
		next = strconv.FormatUint(uint64(t.list[end-1].no), 10)
	}
	return names, next
}

// members are the inboxes of a topic, sorted by number, so that one can go on after any of them.
type members struct{ list []*inbox }

func (t *members) place(no uint32) (int, bool) {
	return slices.BinarySearchFunc(t.list, no, func(b *inbox, no uint32) int { return cmp.Compare(b.no, no) })
}

func (t *members) add(b *inbox) {
	if i, found := t.place(b.no); !found {
		t.list = slices.Insert(t.list, i, b)
	}
}

func (t *members) remove(b *inbox) {
	if i, found := t.place(b.no); found {
		t.list = slices.Delete(t.list, i, i+1)
	}
}
