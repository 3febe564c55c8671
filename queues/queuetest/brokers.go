package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roomcast/roomcast/queues"
)

// InboxBrokers does anything with inboxes through several brokers of one store: devices come, acknowledge, stall, take over from
// each other and go, entries are sent and published, several of these at the same time, and brokers end, in good order
// or not. It checks what each device is told. stores has one for each node; they may be the same. part says that it is to take little
// time: that of five runs about one is made, and that nobody waits until a node is found to be silent.
func InboxBrokers(t *testing.T, stores []queues.Store, part bool) {
	runs := 0
	rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { // which has no Deadline: a bubble has none
		if part && rapid.IntRange(0, 4).Draw(rt, "run") > 0 {
			return
		}
		runs++
		h := &house{t: rt, ctx: t.Context(), name: fmt.Sprint("h", runs), part: part, topics: map[string]published{}}
		h.config.Inbox.MaxLen = rapid.SampledFrom([]int{2, 4, 1000}).Draw(rt, "maxLen")
		h.config.Inbox.MaxBytes = rapid.SampledFrom([]int64{3 * largest, 1 << 20}).Draw(rt, "maxBytes")
		for _, store := range stores {
			h.nodes = append(h.nodes, &houseNode{store: store})
		}
		for i := range h.nodes {
			h.begin(i)
		}
		for _, name := range []string{h.name, h.name + "/d", h.name + "-2"} {
			h.boxes = append(h.boxes, &box{h: h, name: name, topics: map[string]bool{}})
		}
		for _, b := range h.boxes {
			b.renew()
		}
		defer h.end()
		rt.Repeat(map[string]func(*rapid.T){
			"burst": h.burst, "burst 2": h.burst, "burst 3": h.burst, "burst 4": h.burst, "connect": h.connect, "connect 2": h.connect,
			"disconnect": h.disconnect, "late": h.late, "subscribe": h.subscribe, "unsubscribe": h.unsubscribe,
			"delete": h.delete, "restart": h.restart, "pass": h.pass,
			"": h.settle,
		})
	})
}

// largest is how many bytes an entry has at most.
const largest = 64

// house is several nodes, and the inboxes that are used through them.
type house struct {
	t      *rapid.T
	ctx    context.Context
	name   string
	part   bool
	config queues.BrokerConfig
	nodes  []*houseNode
	boxes  []*box
	texts  int

	mu     sync.Mutex
	faults []string             // what was wrong while nobody looked
	topics map[string]published // by text
}

// fanout is the queue of what was published to topics.
const fanout = "$fanout"

// published is where an entry of a topic is in it.
type published struct {
	topic string
	seq   uint64
}

type houseNode struct {
	store  queues.Store
	broker *queues.Broker
}

func (h *house) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

func (h *house) begin(i int) {
	c := h.config
	c.Store = h.nodes[i].store
	b, err := queues.NewBroker(h.ctx, c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.nodes[i].broker = b
}

func (h *house) end() {
	for _, b := range h.boxes {
		_ = h.nodes[0].store.DeleteInbox(h.ctx, b.name)
	}
	for _, n := range h.nodes {
		if err := n.broker.Close(context.Background()); err != nil {
			h.fault("close: %v", err)
		}
	}
}

func (h *house) node(t *rapid.T) int { return rapid.IntRange(0, len(h.nodes)-1).Draw(t, "node") }

func (h *house) broker(t *rapid.T) *queues.Broker { return h.nodes[h.node(t)].broker }

func (h *house) box(t *rapid.T) *box {
	return h.boxes[rapid.IntRange(0, len(h.boxes)-1).Draw(t, "inbox")]
}

func (h *house) topic(t *rapid.T) string {
	return h.name + rapid.SampledFrom([]string{"t", "u"}).Draw(t, "topic")
}

// device picks one that is open, or says that there is none.
func (h *house) device(t *rapid.T) *device {
	var all []*device
	for _, b := range h.boxes {
		all = append(all, b.devices...)
	}
	if len(all) == 0 {
		return nil
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "device")]
}

// burst does several things at the same time.
func (h *house) burst(t *rapid.T) {
	var all []func()
	for range rapid.IntRange(1, 5).Draw(t, "things") {
		thing := rapid.SampledFrom([]string{"send", "send", "publish", "ack", "ack", "ackUpTo", "stall"}).Draw(t, "thing")
		f := map[string]func(*rapid.T) func(){
			"send": h.send, "publish": h.publish, "ack": h.ack, "ackUpTo": h.ackUpTo, "stall": h.stall,
		}[thing](t)
		if f != nil {
			all = append(all, f)
		}
	}
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(f)
	}
	wg.Wait()
}

func (h *house) entry(t *rapid.T) (*queues.Entry, string, bool) {
	h.texts++
	text := fmt.Sprintf("%q", fmt.Sprint(h.texts, strings.Repeat(".", rapid.IntRange(0, largest/2).Draw(t, "bytes"))))
	e := &queues.Entry{Payload: queues.Payload{JSON: []byte(text)}}
	short := rapid.IntRange(0, 4).Draw(t, "short") == 0
	if short {
		e.TTL = 5 * time.Millisecond
	}
	return e, text, short
}

// send sends an entry to one inbox or two.
func (h *house) send(t *rapid.T) func() {
	e, text, short := h.entry(t)
	boxes := []*box{h.box(t)}
	if b := h.box(t); b != boxes[0] {
		boxes = append(boxes, b)
	}
	if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
		// Ids are known for five minutes: none is used for as long.
		e.ID = fmt.Sprint("id", rapid.IntRange(0, 2).Draw(t, "id"), "-", time.Now().Unix()/100)
	}
	var names []string
	for _, b := range boxes {
		names = append(names, b.name)
		b.short[text] = short
	}
	if rapid.IntRange(0, 4).Draw(t, "twice") == 0 { // an inbox that is named twice gets one entry
		names = append(names, names[0])
	}
	broker := h.broker(t)
	return func() {
		sent, err := broker.InboxSend(h.ctx, e, names...)
		if err != nil {
			h.fault("send: %v", err)
			return
		}
		if len(sent) != len(names) || sent[len(names)-1].Inbox != names[len(names)-1] || len(names) > len(boxes) && sent[len(boxes)] != sent[0] {
			h.fault("send to %v: %+v", names, sent)
			return
		}
		for i, b := range boxes {
			b.sent(sent[i], e.ID, text)
		}
	}
}

// publish publishes an entry to a topic.
func (h *house) publish(t *rapid.T) func() {
	e, text, short := h.entry(t)
	topic, broker := h.topic(t), h.broker(t)
	for _, b := range h.boxes {
		if b.topics[topic] {
			b.short[text] = short
			b.last++
		}
	}
	return func() {
		seq, err := broker.TopicPublish(h.ctx, topic, e)
		if err != nil {
			h.fault("publish: %v", err)
		}
		h.mu.Lock()
		h.topics[text] = published{topic, seq}
		h.mu.Unlock()
	}
}

// ack acknowledges one entry, whichever.
func (h *house) ack(t *rapid.T) func() {
	d := h.device(t)
	if d == nil {
		return nil
	}
	which := rapid.IntRange(0, 5).Draw(t, "which")
	return func() {
		d.mu.Lock()
		if len(d.out) == 0 {
			d.mu.Unlock()
			return
		}
		i := min(which, len(d.out)-1)
		seq := d.out[i]
		d.out = slices.Delete(d.out, i, i+1)
		d.b.handle(seq, seq)
		d.note("ack %d", seq)
		d.mu.Unlock()
		d.in.Ack(seq)
	}
}

// ackUpTo acknowledges all up to an entry.
func (h *house) ackUpTo(t *rapid.T) func() {
	d := h.device(t)
	if d == nil {
		return nil
	}
	back := uint64(rapid.IntRange(0, 3).Draw(t, "back"))
	return func() {
		d.mu.Lock()
		seq := d.at - min(back, d.at)
		d.b.handle(1, seq)
		d.note("ack up to %d", seq)
		d.out = slices.DeleteFunc(d.out, func(s uint64) bool { return s <= seq })
		d.mu.Unlock()
		done := make(chan struct{})
		d.in.AckUpTo(queues.Position{Epoch: d.opened.Epoch, Seq: seq}, func(acked uint64, err error) {
			if err != nil || acked < seq {
				h.fault("%s: acknowledged %d of %d: %v", d.b.name, acked, seq, err)
			}
			close(done)
		})
		<-done
	}
}

// stall lets a device take nothing, or again something.
func (h *house) stall(t *rapid.T) func() {
	d := h.device(t)
	if d == nil {
		return nil
	}
	return func() {
		if !d.stalled.CompareAndSwap(false, true) {
			d.stalled.Store(false)
			d.in.Resume()
		}
	}
}

// connect opens an inbox at some node.
func (h *house) connect(t *rapid.T) {
	b := h.box(t)
	d := &device{b: b, node: h.node(t), window: rapid.SampledFrom([]int{1, 2, 32}).Draw(t, "window"), mirror: rapid.Bool().Draw(t, "mirror")}
	c := queues.InboxConfig{
		Window: d.window, Mirror: d.mirror, Deliver: d.deliver, Gap: d.gap,
		Open: func() bool { return !d.stalled.Load() },
		Closed: func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.closed = err
		},
	}
	if len(b.known) > 0 && rapid.Bool().Draw(t, "since") {
		p := rapid.SampledFrom(b.known).Draw(t, "position")
		c.Since = &p
	}
	before, err := h.nodes[d.node].store.InboxStats(h.ctx, b.name)
	if err != nil {
		t.Fatal(err)
	}
	in, o, err := h.nodes[d.node].broker.OpenInbox(h.ctx, b.name, c)
	if err != nil {
		t.Fatal(err)
	}
	d.in, d.opened, d.at = in, o, o.Acked
	d.note("opened %+v, window %d, mirror %v", o, d.window, d.mirror)
	wrong := c.Since != nil && c.Since.Epoch != o.Epoch
	acked := before.Acked
	if c.Since != nil && !wrong {
		acked = max(acked, c.Since.Seq)
	}
	switch {
	case b.epoch != 0 && o.Epoch != b.epoch:
		t.Fatalf("%s has epoch %d, it was %d", b.name, o.Epoch, b.epoch)
	case o.Last != b.last || o.Acked < acked:
		t.Fatalf("%s was opened with %+v, want last %d, acked %d or more", b.name, o, b.last, acked)
	case o.Recovered == (o.Reason != ""), wrong != (o.Reason == queues.LostEpoch):
		t.Fatalf("%s was opened since %+v with %+v", b.name, c.Since, o)
	}
	b.epoch = o.Epoch
	others := d.mirror && !slices.ContainsFunc(b.devices, func(x *device) bool { return !x.mirror })
	if !others {
		for _, old := range b.devices {
			old.await(t, queues.CodeTakenOver)
		}
		b.devices = nil
	}
	b.devices = append(b.devices, d)
	in.Start()
}

// disconnect closes an inbox, with acknowledgements under way perhaps.
func (h *house) disconnect(t *rapid.T) {
	d := h.device(t)
	if d == nil {
		return
	}
	if f := h.ack(t); f != nil {
		f()
	}
	d.remember()
	if err := d.in.Close(h.ctx); err != nil {
		t.Fatal(err)
	}
	d.gone()
}

// late acknowledges what a device had that has lost its inbox: nothing may come of it.
func (h *house) late(t *rapid.T) {
	d := h.device(t)
	if d == nil {
		return
	}
	d.mu.Lock()
	at, out := d.at, slices.Clone(d.out)
	d.mu.Unlock()
	d.remember()
	if err := d.in.Close(h.ctx); err != nil {
		t.Fatal(err)
	}
	d.gone()
	for _, seq := range out {
		d.in.Ack(seq)
	}
	done := make(chan error, 1)
	d.in.AckUpTo(queues.Position{Epoch: d.opened.Epoch, Seq: at}, func(_ uint64, err error) { done <- err })
	if err := <-done; queues.CodeOf(err) != queues.CodeTakenOver {
		t.Fatalf("a closed inbox was acknowledged: %v", err)
	}
}

func (h *house) subscribe(t *rapid.T) {
	b, topic := h.box(t), h.topic(t)
	if err := h.broker(t).Subscribe(h.ctx, b.name, topic); err != nil {
		t.Fatal(err)
	}
	b.topics[topic] = true
}

func (h *house) unsubscribe(t *rapid.T) {
	b, topic := h.box(t), h.topic(t)
	if err := h.broker(t).Unsubscribe(h.ctx, b.name, topic); err != nil {
		t.Fatal(err)
	}
	delete(b.topics, topic)
}

// delete deletes an inbox: who has it open is told, and it begins anew.
func (h *house) delete(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "really") > 0 {
		return
	}
	b := h.box(t)
	if err := h.broker(t).DeleteInbox(h.ctx, b.name); err != nil {
		t.Fatal(err)
	}
	for _, d := range b.devices {
		d.await(t, queues.CodeTakenOver)
	}
	b.devices = nil
	b.renew()
}

// restart ends a node, after it has published something perhaps, and begins another one.
func (h *house) restart(t *rapid.T) {
	i := h.node(t)
	n := h.nodes[i]
	if rapid.Bool().Draw(t, "publishes") {
		h.publish(t)()
	}
	for _, b := range h.boxes {
		for _, d := range slices.Clone(b.devices) {
			if d.node == i {
				d.remember()
				d.gone()
			}
		}
	}
	ctx := context.Background()
	crash := rapid.Bool().Draw(t, "crash")
	if crash {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	if err := n.broker.Close(ctx); err != nil && !crash {
		t.Fatal(err)
	}
	if crash && (h.part || rapid.Bool().Draw(t, "buried")) { // as another node does, in time
		if _, err := n.store.Release(h.ctx, fanout, n.broker.Node(), nil); err != nil {
			t.Fatal(err)
		}
		if err := n.store.Forget(h.ctx, n.broker.Node()); err != nil {
			t.Fatal(err)
		}
	}
	h.begin(i)
}

// pass lets what is short expire.
func (h *house) pass(*rapid.T) { time.Sleep(6 * time.Millisecond) }

// eventually waits until wrong says that nothing is.
func (h *house) eventually(t *rapid.T, wrong func() string) {
	for wait, end := time.Millisecond, time.Now().Add(time.Minute); ; wait = min(2*wait, 100*time.Millisecond) {
		h.mu.Lock()
		faults := strings.Join(h.faults, "\n")
		h.mu.Unlock()
		if faults != "" {
			t.Fatal(faults)
		}
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(what)
		}
		time.Sleep(wait)
	}
}

// settle waits until everything has come to rest, and checks what was told.
func (h *house) settle(t *rapid.T) {
	h.eventually(t, func() string { // who subscribes to a topic gets what is on its way, too
		if st, err := h.nodes[0].store.Stats(h.ctx, fanout); err != nil || st.Len() > 0 {
			return fmt.Sprintf("%d entries wait to be fanned out, %v", st.Len(), err)
		}
		return ""
	})
	for _, b := range h.boxes {
		h.eventually(t, func() string { return b.unrest(h.ctx, h.nodes[0].store) })
		b.check(t)
	}
}
