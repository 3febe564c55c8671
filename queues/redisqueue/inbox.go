package redisqueue

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
)

// Append does queues.InboxStore.Append.
func (s *store) Append(ctx context.Context, calls []*queues.AppendCall) {
	commands := make([]*command, 0, len(calls))
	sent := make([]*queues.AppendCall, 0, len(calls))
	full := len(calls) > 0 && s.fullOfInboxes(ctx, calls[0].Limits)
	for _, c := range calls {
		key := s.inboxKey(c.Inbox)
		if s.memory.refuses(ctx, s.rdb, key) {
			c.Err = queues.ErrStoreFull
			continue
		}
		lane, call := "", ""
		args := make([]any, 0, 7+2*len(c.Entries))
		args = append(args, lane, call, c.Limits.MaxLen, c.Limits.MaxBytes, bound(millis(c.Limits.TTL)),
			flag(c.Limits.Overflow == queues.DropOldest), devicesArg(c.Limits, full))
		for _, e := range c.Entries {
			args = appendEntry(args, e)
			if e.ID == "" && e.Topic == "" && lane == "" { // nothing else would show that it came twice
				lane, call = s.lanes.take()
				args[0], args[1] = lane, call
			}
		}
		commands = append(commands, &command{function: appendFunction, key: key, args: args, level: levels[s.cfg.Durability]})
		sent = append(sent, c)
	}
	s.run(ctx, commands...)
	made := 0
	for i, c := range sent {
		if lane := commands[i].args[0].(string); lane != "" {
			s.lanes.give(lane, commands[i].err)
		}
		made += appended(c, commands[i], full)
	}
	s.counted(ctx, made)
}

// appended reads what became of a call's entries. It returns how many inboxes were made for them.
func appended(c *queues.AppendCall, cmd *command, full bool) (made int) {
	a, err := cmd.answer()
	if err != nil {
		c.Err = err
		return 0
	}
	c.Epoch, c.Dropped = uint64(a.number()), int(a.number())
	list := a.list()
	c.Results = make([]queues.AppendResult, len(c.Entries))
	for i := range c.Results {
		r := &c.Results[i]
		what := list.number()
		r.Seq = uint64(list.number())
		switch what {
		case 0, 6:
			if r.Made = what == 6; r.Made {
				made++
			}
			if !cmd.confirmed {
				r.Err = queues.ErrNotDurable
			}
		case 1:
			r.Duplicate = true
		case 2:
			r.Skipped = true
		case 4:
			r.Err = queues.ErrNotFound
		case 5:
			r.Err = tooMany(full)
		default:
			r.Err = queues.ErrQueueFull
		}
	}
	if a.bad || list.bad {
		c.Results, c.Err = nil, refusal(errCorrupt)
	}
	return made
}

// appendEntry appends what the function takes of an entry.
func appendEntry(args []any, e *queues.Entry) []any {
	c := content{id: e.ID, topic: e.Topic, headers: e.Headers, payload: e.Payload}
	flags, body := c.appendBody(make([]byte, 0, c.size()))
	if e.Existing {
		flags |= flagExisting
	}
	head := make([]byte, 0, 20+len(e.ID)+len(e.Topic))
	head = append(head, flags)
	head = appendFixed(head, 4, uint64(e.Payload.Size()))
	head = appendFixed(head, 6, uint64(bound(millis(e.TTL))))
	head = appendFixed(head, 7, e.TopicSeq)
	head = append(append(head, byte(len(e.ID))), e.ID...)
	head = append(append(head, byte(len(e.Topic))), e.Topic...)
	return append(args, head, body)
}

func ownerArgs(o queues.Owner) []any {
	return []any{o.Node, strconv.FormatUint(o.Number, 10)}
}

// Open does queues.InboxStore.Open. The inboxes that a node owns are also listed by node, for Forget.
func (s *store) Open(ctx context.Context, inbox string, o queues.Owner, since *queues.Position, mirror bool, l queues.InboxLimits) (opened queues.Opened, err error) {
	if err := s.rdb.SAdd(ctx, s.ownedKey(o.Node), inbox).Err(); err != nil {
		return opened, refusal(err)
	}
	full := s.fullOfInboxes(ctx, l)
	args := append(ownerArgs(o), flag(mirror), 0, 0, 0, devicesArg(l, full))
	if since != nil {
		args[3], args[4], args[5] = 1, since.Epoch, since.Seq
	}
	a, err := s.ask(ctx, openFunction, s.inboxKey(inbox), args...)
	if err == error(queues.ErrDevices) {
		err = tooMany(full)
	}
	if err != nil {
		return opened, err
	}
	opened.Epoch, opened.Acked = uint64(a.number()), uint64(a.number())
	opened.First, opened.Last = uint64(a.number()), uint64(a.number())
	opened.Reason = a.text()
	opened.Recovered = opened.Reason == ""
	nodes := a.list()
	s.unlist(ctx, inbox, nodes, o.Node)
	s.counted(ctx, int(a.number()))
	return opened, a.err()
}

// unlist removes an inbox from the lists of nodes that have lost it. What stays there is looked at in vain once.
func (s *store) unlist(ctx context.Context, inbox string, nodes *answer, except string) {
	for nodes.more() {
		if node := nodes.text(); node != except {
			s.rdb.SRem(ctx, s.ownedKey(node), inbox)
		}
	}
}

// Read does queues.InboxStore.Read.
func (s *store) Read(ctx context.Context, calls []*queues.ReadCall) {
	commands := make([]*command, len(calls))
	for i, c := range calls {
		args := append(ownerArgs(c.Owner), c.After, max(c.Max, 0), max(c.MaxBytes, 0))
		commands[i] = &command{function: readFunction, key: s.inboxKey(c.Inbox), args: args}
	}
	s.run(ctx, commands...)
	for i, c := range calls {
		a, err := commands[i].answer()
		if err != nil {
			c.Err = err
			continue
		}
		epoch := uint64(a.number())
		c.Acked, c.Through, c.Last = uint64(a.number()), uint64(a.number()), uint64(a.number())
		for a.more() {
			seq := uint64(a.number())
			m, err := parseEntry(c.Inbox, epoch, seq, []byte(a.text()))
			if err != nil {
				s.cfg.Logger.Error("queues: an entry can't be read", "inbox", c.Inbox, "seq", seq)
				continue // it is a gap
			}
			c.Entries = append(c.Entries, m)
		}
		if err := a.err(); err != nil {
			c.Entries, c.Err = nil, err
		}
	}
}

// Acknowledge does queues.InboxStore.Acknowledge.
func (s *store) Acknowledge(ctx context.Context, calls []*queues.AcknowledgeCall) {
	commands := make([]*command, len(calls))
	for i, c := range calls {
		args := append(ownerArgs(c.Owner), c.At.Epoch, c.At.Seq)
		commands[i] = &command{function: acknowledgeFunction, key: s.inboxKey(c.Inbox), args: args}
	}
	s.run(ctx, commands...)
	for i, c := range calls {
		a, err := commands[i].answer()
		if err != nil {
			c.Err = err
			continue
		}
		c.Acked, c.Err = uint64(a.number()), a.err()
	}
}

// CloseInbox does queues.InboxStore.CloseInbox.
func (s *store) CloseInbox(ctx context.Context, inbox string, o queues.Owner) error {
	a, err := s.ask(ctx, closeFunction, s.inboxKey(inbox), ownerArgs(o)...)
	if err != nil {
		return err
	}
	if a.number() == 0 {
		s.rdb.SRem(ctx, s.ownedKey(o.Node), inbox)
	}
	return a.err()
}

// disown ends the ownership of all that a node owns.
func (s *store) disown(ctx context.Context, node string) error {
	key := s.ownedKey(node)
	for cursor := uint64(0); ; {
		names, next, err := s.rdb.SScan(ctx, key, cursor, "", step).Result()
		if err != nil {
			return refusal(err)
		}
		commands := make([]*command, len(names))
		for i, name := range names {
			commands[i] = &command{function: closeFunction, key: s.inboxKey(name), args: []any{node, ""}}
		}
		s.run(ctx, commands...)
		for _, c := range commands {
			if _, err := c.answer(); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	if err := s.rdb.Unlink(ctx, key).Err(); err != nil {
		return refusal(err)
	}
	return nil
}

// DeleteInbox does queues.InboxStore.DeleteInbox.
func (s *store) DeleteInbox(ctx context.Context, inbox string) error {
	a, err := s.ask(ctx, removeFunction, s.inboxKey(inbox))
	if err != nil {
		return err
	}
	topics := a.list()
	for topics.more() {
		if err := s.rdb.SRem(ctx, s.topicKey(topics.text()), inbox).Err(); err != nil {
			return refusal(err)
		}
	}
	s.unlist(ctx, inbox, a.list(), "")
	s.counted(ctx, -int(a.number()))
	return a.err()
}

// SweepInboxes does queues.InboxStore.SweepInboxes. after is a place in the keys of one of the
// servers: its address, and what SCAN said.
func (s *store) SweepInboxes(ctx context.Context, after string, idle time.Duration) (string, error) {
	var servers []*redis.Client
	if err := s.rdb.servers(ctx, func(_ context.Context, server *redis.Client) error {
		servers = append(servers, server)
		return nil
	}); err != nil {
		return after, refusal(err)
	}
	slices.SortFunc(servers, func(a, b *redis.Client) int { return strings.Compare(a.Options().Addr, b.Options().Addr) })
	addr, place, _ := strings.Cut(after, " ")
	cursor, _ := strconv.ParseUint(place, 10, 64)
	i := slices.IndexFunc(servers, func(c *redis.Client) bool { return c.Options().Addr >= addr })
	if i < 0 {
		return "", nil
	}
	if after == "" {
		s.count.begin()
	}
	pattern := globQuoter.Replace(s.cfg.Prefix) + "{i:*}"
	keys, next, err := servers[i].ScanType(ctx, cursor, pattern, step, "list").Result()
	if err != nil {
		return after, refusal(err)
	}
	commands := make([]*command, len(keys))
	for i, key := range keys {
		commands[i] = &command{function: tidyFunction, key: key, args: []any{millis(idle)}}
	}
	s.run(ctx, commands...)
	gone := 0
	for _, c := range commands {
		a, err := c.answer()
		if err != nil {
			return after, err
		}
		gone += int(a.number())
	}
	s.counted(ctx, -gone)
	s.count.saw(len(keys) - gone)
	switch {
	case next != 0:
		return servers[i].Options().Addr + " " + strconv.FormatUint(next, 10), nil
	case i+1 < len(servers):
		return servers[i+1].Options().Addr + " 0", nil
	}
	s.recounted(ctx)
	return "", nil
}

var globQuoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// InboxStats does queues.InboxStore.InboxStats.
func (s *store) InboxStats(ctx context.Context, inbox string) (st queues.InboxStats, err error) {
	a, err := s.ask(ctx, contentsFunction, s.inboxKey(inbox))
	if err != nil || !a.more() {
		return st, err
	}
	st = queues.InboxStats{
		Epoch: uint64(a.number()), Len: int(a.number()), Bytes: a.number(), Last: uint64(a.number()), Acked: uint64(a.number()),
		Owners: int(a.number()), Topics: int(a.number()), Dropped: uint64(a.number()), Expired: uint64(a.number()),
	}
	return st, a.err()
}
